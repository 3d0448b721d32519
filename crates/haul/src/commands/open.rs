//! `open`: the web page, in a browser that gets a token of its own.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use etcetera::base_strategy::Xdg;
use haul_api::{Address, PairCode, Scope};
use jiff::Timestamp;
use serde_json::json;

use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::text::escaped;

/// Opens the page, or prints its address where that is wanted or there is no screen.
pub(crate) async fn open(daemon: &Daemon, print: bool, out: &Out) -> Result<Exit, Failure> {
    let code = daemon.client.make_pair_code(Scope::Admin).await.map_err(|error| daemon.failure(error))?;
    let url = page_url(daemon, &code)?;
    if out.is_json() {
        out.json(&json!({"url": url, "expires_at": code.expires_at}))?;
        return Ok(Exit::Fine);
    }
    let seconds = code.expires_at.duration_since(Timestamp::now()).as_secs().max(0);
    if !print && has_screen() {
        match show(&url) {
            Ok(file) => {
                out.note("the web page opens in your browser; where it does not, use `haul open --print`");
                out.detail(format!("by way of `{}`", escaped(&file.display().to_string())));
                return Ok(Exit::Fine);
            }
            Err(failure) => out.detail(failure.message),
        }
    }
    out.line(&url)?;
    out.note(format!("open it within {seconds} s, once; whoever opens it may do everything"));
    Ok(Exit::Fine)
}

/// The page's address, with the code where no server sees it.
fn page_url(daemon: &Daemon, code: &PairCode) -> Result<String, Failure> {
    let page = match daemon.client.address() {
        // The way by which the daemon was reached is the one that is known to work.
        Address::Tcp(url) => Some(url.to_string()),
        Address::Unix(_) => code.page_url.clone(),
    };
    let page = page.ok_or_else(|| {
        Failure::new(Exit::Local, "the daemon does not listen on TCP, which a browser needs")
            .with_help("set `listen = \"127.0.0.1:4285\"` in its configuration")
    })?;
    Ok(format!("{page}#code={}", code.code))
}

/// Whether a browser could show something.
fn has_screen() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].into_iter().any(is_set)
}

/// Has a browser open a file that leads to the page. The address itself would stand in the arguments of the browser, which
/// every user of the machine can read (FAILURES.md, F-SEC-05).
fn show(url: &str) -> Result<PathBuf, Failure> {
    let xdg = Xdg::new().ok();
    let dir = xdg.as_ref().and_then(Xdg::runtime_dir).or_else(|| Some(xdg.as_ref()?.state_dir()?.join("haul")));
    let dir = dir.ok_or_else(|| Failure::new(Exit::Local, "no home directory is known"))?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|error| Failure::local("make the directory", &dir, &error))?;
    let file = dir.join("haul-open.html");
    let written = write_for_owner(&file, &leads_to(url));
    written.map_err(|error| Failure::local("write", &file, &error))?;
    open::that_detached(&file).map_err(|error| Failure::local("open", &file, &error))?;
    Ok(file)
}

/// Nobody else ever has the file open: the one before is removed first.
fn write_for_owner(file: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::options().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// A page that leads to an address, which holds no character that means something in HTML.
fn leads_to(url: &str) -> String {
    format!("<!doctype html><title>haul</title><meta http-equiv=\"refresh\" content=\"0; url={url}\">\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn f_sec_05_the_file_with_the_code_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("a.html");
        fs::write(&file, "what was there").expect("a writable directory");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("its own file");
        write_for_owner(&file, &leads_to("http://127.0.0.1:4285/#code=A")).expect("it can be written");
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&file).expect("text").contains("url=http://127.0.0.1:4285/#code=A\""));
    }
}
