//! Schemathesis makes requests of the OpenAPI document, good and bad ones, and holds each answer against it.

use std::path::Path;
use std::process::Command;

use crate::support::{Daemon, Home, say, tool};

/// Examples for each route and phase; `SCHEMATHESIS_EXAMPLES` asks for more.
const EXAMPLES: &str = "5";

#[tokio::test]
async fn f_api_10_no_request_gets_an_answer_that_is_not_documented() {
    let Some(program) = tool("schemathesis") else { return };
    // Nothing is to run: what is tested is the API.
    let daemon = Daemon::at(Home::new("max_active_jobs = 1\nlog = \"info\"")).await;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/schemathesis");
    let examples = std::env::var("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let output = Command::new(program)
        .current_dir(&config)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // All checks, as long as none is named here: that would win over what the configuration says of single routes.
        .args(["run", &format!("http://{}/openapi.json", daemon.tcp()), "--no-color"])
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
