//! systemd understands the unit files, and they are as closed as they claim.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exposure times ten that the system service may have (0 to 100). Measured with systemd 252: 12.
const SYSTEM_EXPOSURE_MAX: u32 = 20;

/// The same for the user service, which cannot use mount namespaces and does not change its user. Measured: 65.
const USER_EXPOSURE_MAX: u32 = 70;

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd").join(path)
}

/// Runs `systemd-analyze`. `None` on a machine that does not have it, which CI is not.
fn systemd_analyze(arguments: &[&str], units: &[&Path], runtime_dir: &Path) -> Option<Output> {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .args(units)
        .env("XDG_RUNTIME_DIR", runtime_dir)
        .env("SYSTEMD_PAGER", "")
        .output();
    match output {
        Ok(output) => Some(output),
        Err(_) if std::env::var_os("CI").is_none() => None,
        Err(error) => panic!("systemd-analyze cannot be run: {error}; install the package `systemd`"),
    }
}

/// Verifies a copy of the unit that starts the hauld of this build, because verifying wants the program to exist.
fn verify(unit: &str, flags: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("hauld");
    symlink(env!("CARGO_BIN_EXE_hauld"), &program).expect("a new link");
    let text = fs::read_to_string(source(unit)).expect("the unit is part of the source");
    assert!(text.contains("\nExecStart=/usr/bin/hauld\n"), "{unit} starts something else");
    // The socket belongs to the service, and is looked at with it.
    let socket = unit.replace(".service", ".socket");
    fs::copy(source(&socket), dir.path().join("hauld.socket")).expect("a writable directory");
    let copy = dir.path().join("hauld.service");
    let text = text.replace("=/usr/bin/hauld\n", &format!("={}\n", program.display()));
    fs::write(&copy, text).expect("a writable file");
    let arguments = [&["verify", "--man=no"], flags].concat();
    let Some(output) = systemd_analyze(&arguments, &[&copy, &dir.path().join("hauld.socket")], dir.path()) else {
        return;
    };
    // It exits with 0 when it does not know a key, and only says so.
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{unit}: {}\n{said}", output.status);
}

fn rate(unit: &str, exposure_max: u32) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let threshold = format!("--threshold={exposure_max}");
    let arguments = ["security", "--offline=yes", &threshold];
    let Some(output) = systemd_analyze(&arguments, &[&source(unit)], dir.path()) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{unit} is more exposed than {exposure_max} tenths:\n{said}");
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    verify("hauld.service", &[]);
    verify("user/hauld.service", &["--user"]);
}

/// The sockets that a socket unit listens on, with the run-time directory as it is for this kind of unit.
fn sockets(unit: &str) -> Vec<String> {
    let text = fs::read_to_string(source(unit)).expect("the unit is part of the source");
    let streams = text.lines().filter_map(|line| line.strip_prefix("ListenStream="));
    streams.map(|stream| stream.replace("%t", "/run/user/1000")).collect()
}

/// `haul` looks for the daemon where the daemon listens without systemd, too.
#[test]
fn the_sockets_are_where_the_settings_have_them() {
    assert_eq!(sockets("hauld.socket"), [haul_api::paths::DEFAULT_LISTEN, "/run/hauld/hauld.sock"]);
    assert_eq!(sockets("user/hauld.socket"), [haul_api::paths::DEFAULT_LISTEN, "/run/user/1000/hauld.sock"]);
    let made = fs::read_to_string(source("hauld.tmpfiles.conf")).expect("the file is part of the source");
    assert!(made.lines().any(|line| line == "d /run/hauld 0750 haul haul"), "{made}");
}

#[test]
fn the_services_are_closed() {
    rate("hauld.service", SYSTEM_EXPOSURE_MAX);
    rate("user/hauld.service", USER_EXPOSURE_MAX);
}

/// With it systemd answers every `openat2` with ENOSYS, and then no directory can be opened.
#[test]
fn the_services_can_open_directories() {
    for unit in ["hauld.service", "user/hauld.service"] {
        let text = fs::read_to_string(source(unit)).expect("the unit is part of the source");
        assert!(!text.lines().any(|line| line.starts_with("RestrictSUIDSGID=")), "{unit}");
    }
}

#[test]
fn the_user_of_the_system_service_is_made() {
    let unit = fs::read_to_string(source("hauld.service")).expect("the unit is part of the source");
    let users = fs::read_to_string(source("hauld.sysusers.conf")).expect("the file is part of the source");
    let user = unit.lines().find_map(|line| line.strip_prefix("User=")).expect("it names a user");
    assert!(users.lines().any(|line| line.starts_with(&format!("u {user} "))), "{users}");
}
