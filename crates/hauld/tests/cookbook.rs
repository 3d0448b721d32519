//! Every command of `docs/COOKBOOK.md`, and of the README's section about curl, does what it says, in its order, against a
//! real daemon and a real server.

use std::fs::{self, File as Log};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use haul_testkit::{Content, File, Server};

/// Longer than the start of a daemon takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(45);

/// What the reader is to set differs from machine to machine; here the test does.
const SET_BY_THE_READER: [&str; 3] = ["SOCKET=", "URL=", "MIRROR="];

/// The commands of a document: all lines between "```sh" and "```", but for blocks that build the programs.
fn commands(document: &str) -> String {
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let blocks = blocks.map(|(block, _)| block).filter(|block| !block.contains("cargo run"));
    let lines = blocks.flat_map(str::lines);
    let lines = lines.filter(|line| !SET_BY_THE_READER.iter().any(|name| line.starts_with(name)));
    lines.collect::<Vec<_>>().join("\n")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn daemon(home: &Path) -> Running {
    let path = |name: &str| format!("{:?}", home.join(name).display().to_string());
    let settings = [
        ("listen", "\"\"".to_owned()),
        ("socket", path("hauld.sock")),
        ("data_dir", path("data")),
        ("download_dir", path("Downloads")),
    ];
    let text: String = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    fs::write(home.join("hauld.toml"), text).expect("a writable directory");
    let log = Log::create(home.join("log")).expect("a writable directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hauld"));
    command.arg("--config").arg(home.join("hauld.toml")).env_clear().env("HOME", home).stderr(Stdio::from(log));
    let running = Running(command.spawn().expect("it can be started"));
    wait_for(&home.join("hauld.sock"), || fs::read_to_string(home.join("log")).unwrap_or_default());
    running
}

/// Waits until a file is there.
fn wait_for(path: &Path, said: impl Fn() -> String) {
    let until = Instant::now() + DEADLINE;
    while !path.exists() {
        assert!(Instant::now() < until, "{} has not come: {}", path.display(), said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a script, which must succeed, and tells what it has said.
fn run(arguments: &[&str], home: &Path, url: &str, mirror: &str) -> String {
    let output = Command::new("bash")
        .args(arguments)
        .env("HOME", home)
        .env("SOCKET", home.join("hauld.sock"))
        .env("URL", url)
        .env("MIRROR", mirror)
        .output()
        .expect("bash can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    said
}

/// In the README curl tells of a refusal by its answer, and follows events until somebody stops it.
const CURL: &str = r#"
curl() {
  case "$*" in
    *--no-buffer*) command curl --silent --max-time 2 "$@" || true ;;
    *) command curl --silent --show-error --fail-with-body "$@" ;;
  esac
}
"#;

#[test]
fn every_command_of_the_readme_about_curl_works() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let document = fs::read_to_string(document).expect("it is part of the source");
    let section = document.split("\n## The daemon, with curl\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let commands = commands(section.expect("the README has this section"));
    assert!(commands.lines().count() > 25, "{commands}");
    let server = Server::start();
    server.add("/SHA256SUMS", File::new(Content::seeded(3, 2_000)).etag("\"1\""));
    let home = tempfile::tempdir().expect("a temporary directory");
    let _running = daemon(home.path());
    let said = run(&["-c", &format!("set -eu\n{CURL}\n{commands}\n")], home.path(), &server.url("/SHA256SUMS"), "");
    for part in ["\"state\":\"completed\"", "haul_jobs{", "data:", "\"findings\":", "\"priority\":5"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn every_command_of_the_cookbook_works() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COOKBOOK.md");
    let commands = commands(&fs::read_to_string(document).expect("it is part of the source"));
    assert!(commands.lines().count() > 30, "{commands}");

    let (server, mirror) = (Server::start(), Server::start());
    let content = Content::seeded(3, 200_000);
    for server in [&server, &mirror] {
        server.add("/a.iso", File::new(content.clone()).etag("\"1\""));
        server.add("/a.iso?1", File::new(content.clone()));
        server.add("/a.iso?2", File::new(content.clone()));
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    let _running = daemon(home.path());
    let script = format!("set -eu\n{commands}\n");
    let said = run(&["-o", "pipefail", "-c", &script], home.path(), &server.url("/a.iso"), &mirror.url("/a.iso"));
    for part in ["\"state\":\"completed\"", "haul_jobs{", "data:", "\"token\":", "\"findings\":"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let second = home.path().join("Downloads/isos/b.iso");
    wait_for(&second, || said.clone());
    assert_eq!(fs::read(second).expect("it is there"), content.bytes());
}
