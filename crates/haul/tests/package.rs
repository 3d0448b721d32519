//! The Debian package: what is in it, what it says of itself, and what its maintainer scripts do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A package made of the programs of this build.
struct Package {
    dir: TempDir,
    file: PathBuf,
}

impl Package {
    /// `None` on a machine without dpkg, or where only this crate was built. CI has both.
    fn build() -> Option<Self> {
        let binaries = Path::new(env!("CARGO_BIN_EXE_haul")).parent().expect("a directory").to_owned();
        let has_all = binaries.join("hauld").is_file() && Command::new("dpkg-deb").arg("--version").output().is_ok();
        if !has_all {
            assert!(std::env::var_os("CI").is_none(), "there is no dpkg-deb, or no hauld in {}", binaries.display());
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/debian/build");
        let mut command = Command::new(script);
        command.arg("--binaries").arg(binaries).arg("--into").arg(dir.path());
        // Programs with all their debug information take long to compress.
        succeed(command.env("HAUL_DEB_COMPRESSION", "none"));
        let entries = fs::read_dir(dir.path()).expect("a directory");
        let file = entries.map(|entry| entry.expect("an entry").path()).next().expect("a package");
        Some(Self { dir, file })
    }

    /// Runs `dpkg-deb` on it.
    fn ask(&self, question: &[&str]) -> String {
        let output = succeed(Command::new("dpkg-deb").arg(question[0]).arg(&self.file).args(&question[1..]));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// `dpkg` for a system in a directory of its own, where nothing runs.
struct System {
    root: TempDir,
}

impl System {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        for dir in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "var/lib/hauld"] {
            fs::create_dir_all(root.path().join(dir)).expect("a writable directory");
        }
        fs::write(root.path().join("var/lib/dpkg/status"), "").expect("a writable directory");
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn dpkg(&self, arguments: &[&str]) {
        let mut command = Command::new("dpkg");
        command.arg("--root").arg(self.root.path()).args(["--force-script-chrootless", "--force-depends"]);
        succeed(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    }

    /// The status that dpkg has for the package, such as `install ok installed`.
    fn status(&self) -> Option<String> {
        let status = fs::read_to_string(self.path("var/lib/dpkg/status")).expect("dpkg keeps it");
        status.lines().find_map(|line| line.strip_prefix("Status: ")).map(str::to_owned)
    }
}

#[test]
fn the_package_holds_all_that_a_service_needs_and_says_so() {
    let Some(package) = Package::build() else { return };
    let list = package.ask(&["--contents"]);
    for line in list.lines() {
        assert!(line.contains(" root/root "), "{line}");
    }
    for (mode, path) in [
        ("-rwxr-xr-x", "/usr/bin/haul"),
        ("-rwxr-xr-x", "/usr/bin/hauld"),
        ("-rw-r--r--", "/usr/lib/systemd/system/hauld.service"),
        ("-rw-r--r--", "/usr/lib/systemd/system/hauld.socket"),
        ("-rw-r--r--", "/usr/lib/systemd/user/hauld.service"),
        ("-rw-r--r--", "/usr/lib/systemd/user/hauld.socket"),
        ("-rw-r--r--", "/usr/lib/sysusers.d/hauld.conf"),
        ("-rw-r--r--", "/usr/lib/tmpfiles.d/hauld.conf"),
        ("-rw-r--r--", "/etc/hauld/hauld.toml"),
        ("-rw-r--r--", "/usr/share/man/man1/haul.1.gz"),
        ("-rw-r--r--", "/usr/share/man/man1/haul-get.1.gz"),
        ("-rw-r--r--", "/usr/share/man/man8/hauld.8.gz"),
        ("-rw-r--r--", "/usr/share/bash-completion/completions/haul"),
        ("-rw-r--r--", "/usr/share/bash-completion/completions/hauld"),
        ("-rw-r--r--", "/usr/share/zsh/vendor-completions/_haul"),
        ("-rw-r--r--", "/usr/share/fish/vendor_completions.d/haul.fish"),
        ("-rw-r--r--", "/usr/share/doc/haul/copyright"),
        ("-rw-r--r--", "/usr/share/doc/haul/changelog.gz"),
        ("-rw-r--r--", "/usr/share/doc/haul/docs/API.md"),
    ] {
        let there = list.lines().any(|line| line.starts_with(mode) && line.ends_with(&format!(" .{path}")));
        assert!(there, "{mode} {path}:\n{list}");
    }

    let field = |name: &str| package.ask(&["--field", name]).trim().to_owned();
    assert_eq!((field("Package").as_str(), field("Version").as_str()), ("haul", env!("CARGO_PKG_VERSION")));
    for part in ["libc6 (>= 2.", "ca-certificates", "systemd"] {
        assert!(field("Depends").contains(part), "{}", field("Depends"));
    }
    assert_eq!(package.ask(&["--info", "conffiles"]), "/etc/hauld/hauld.toml\n");
    for script in ["postinst", "prerm", "postrm"] {
        let text = package.ask(&["--info", script]);
        let path = package.dir.path().join(script);
        fs::write(&path, text).expect("a writable directory");
        succeed(Command::new("sh").arg("-n").arg(path));
    }
}

#[test]
fn it_installs_upgrades_and_leaves_and_what_was_downloaded_stays() {
    let Some(package) = Package::build() else { return };
    let id = Command::new("id").arg("-u").output().expect("id can be started");
    if id.stdout != b"0\n" {
        // Only root may make users, also in another system.
        return;
    }
    let system = System::new();
    let file = package.file.to_str().expect("UTF-8");
    system.dpkg(&["--install", file]);
    assert_eq!(system.status().as_deref(), Some("install ok installed"));
    let users = fs::read_to_string(system.path("etc/passwd")).expect("it was made");
    assert!(users.lines().any(|line| line.starts_with("haul:")), "{users}");
    let enabled = system.path("etc/systemd/system/multi-user.target.wants/hauld.service");
    assert!(fs::symlink_metadata(&enabled).is_ok(), "it starts with the machine");

    let database = system.path("var/lib/hauld/haul.db");
    fs::write(&database, "precious").expect("a writable directory");
    fs::write(system.path("etc/hauld/hauld.toml"), "max_active_jobs = 3\n").expect("a writable file");
    system.dpkg(&["--install", file]);
    let settings = fs::read_to_string(system.path("etc/hauld/hauld.toml")).expect("it is there");
    assert_eq!(settings, "max_active_jobs = 3\n", "an upgrade keeps what was changed");

    system.dpkg(&["--remove", "haul"]);
    assert!(!system.path("usr/bin/hauld").exists() && system.path("etc/hauld/hauld.toml").exists());
    system.dpkg(&["--purge", "haul"]);
    assert_eq!(system.status(), None);
    assert!(!system.path("etc/hauld").exists() && fs::symlink_metadata(&enabled).is_err());
    assert_eq!(fs::read_to_string(&database).expect("it is there"), "precious");
}
