//! Tests in a network of their own, in which this machine has an address of the public internet.

use std::process::{Command, Output};

use super::say;

/// Set within a network of the test's own.
const INSIDE: &str = "HAUL_TEST_PUBLIC";

/// An address that is public elsewhere, and that of this machine's own.
pub(crate) const PUBLIC: &str = "11.0.0.1";

/// Runs one test of this program in a network and a file system view of its own.
fn inside(test: &str) -> Option<Output> {
    let here = std::env::current_exe().expect("the test's own program");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--mount"]).arg(here).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().ok()?;
    let refused = String::from_utf8_lossy(&output.stderr).starts_with("unshare:");
    (!refused).then_some(output)
}

/// Whether the test goes on here, in a network where this machine has a public address, too.
pub(crate) fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        for arguments in [&["link", "set", "lo", "up"][..], &["addr", "add", "11.0.0.1/32", "dev", "lo"]] {
            assert!(Command::new("ip").args(arguments).status().expect("`ip` can be run").success());
        }
        return true;
    }
    match inside(test) {
        Some(Output { status, stdout, stderr }) => {
            assert!(status.success(), "{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        }
        None => say("skipped: this machine gives no test a network of its own"),
    }
    false
}
