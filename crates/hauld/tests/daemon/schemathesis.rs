//! Schemathesis makes requests of the OpenAPI document, good and bad ones, and holds each answer against it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Daemon, Home, say};

/// Where `.ci/run` installs it.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/schemathesis/bin/schemathesis");

/// Examples for each route and phase; `SCHEMATHESIS_EXAMPLES` asks for more.
const EXAMPLES: &str = "5";

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|dir| dir.join("schemathesis"));
    Some(PathBuf::from(VENV)).filter(|program| program.is_file()).or_else(|| places.find(|program| program.is_file()))
}

#[tokio::test]
async fn f_api_10_no_request_gets_an_answer_that_is_not_documented() {
    let Some(program) = program() else {
        assert!(std::env::var_os("CI").is_none(), "schemathesis cannot be found; `.ci/run` installs it");
        say("SKIPPED: schemathesis is not installed (`docs/TESTING.md` says how)");
        return;
    };
    // Nothing is to run: what is tested is the API.
    let daemon = Daemon::at(Home::new("max_active_jobs = 1\nlog = \"info\"")).await;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/schemathesis");
    let examples = std::env::var("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let output = Command::new(program)
        .current_dir(&config)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["run", &format!("http://{}/openapi.json", daemon.tcp()), "--checks", "all", "--no-color"])
        // A stream has no end that could be waited for; the test of the contract looks at it.
        .args(["--exclude-path", haul_api::paths::EVENTS])
        .args(["--header", &format!("Authorization: Bearer {}", daemon.home().token())])
        .args(["--max-examples", &examples, "--generation-database", "none"])
        .output()
        .expect("schemathesis can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let end: Vec<&str> = text.lines().rev().take(150).collect();
    let end: String = end.into_iter().rev().map(|line| format!("{line}\n")).collect();
    assert!(output.status.success(), "{end}\n{}", String::from_utf8_lossy(&output.stderr));
    say(&end);
}
