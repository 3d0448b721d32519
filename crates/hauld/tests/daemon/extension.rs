//! The browser extension in a real Chromium, with a site of its own and a real daemon.
//!
//! `extension/drive.py` drives the browser, as a user would; `extension/pure.js` tries the extension's rules. They run in a
//! network in which the site has a public address: a token of scope `submit` reaches no other.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Daemon, PUBLIC, chromium, is_inside, tool};

/// Plays a scenario. Does nothing on a machine that does not have what it takes, which CI is not.
async fn play(scenario: &str, test: &str) {
    let (Some(python), Some(chromium)) = (tool("python3"), chromium()) else { return };
    if !is_inside(&format!("extension::{test}")) {
        return;
    }
    let daemon = Daemon::start().await;
    let settings = json!({
        "daemon": format!("http://{}", daemon.tcp()),
        "token": daemon.home().token(),
        "downloads": daemon.home().downloads(),
        "host": PUBLIC,
        "chromium": chromium,
        "extension": concat!(env!("CARGO_MANIFEST_DIR"), "/../../extension"),
    });
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/extension/drive.py"))
        .args([scenario, &settings.to_string()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("Python can be started");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{scenario}: {said}");
    for secret in ["s3cret", "order=5", "login=1"] {
        assert!(!daemon.log().contains(secret), "{secret} stands in the log");
    }
}

#[tokio::test]
async fn a_click_is_taken_over_with_its_cookies_and_a_menu_does_what_it_says() {
    play("take-over", "a_click_is_taken_over_with_its_cookies_and_a_menu_does_what_it_says").await;
}

#[tokio::test]
async fn whatever_goes_wrong_the_browser_keeps_its_download() {
    play("browser-keeps", "whatever_goes_wrong_the_browser_keeps_its_download").await;
}

#[tokio::test]
async fn f_sec_08_another_program_on_the_daemons_port_learns_nothing() {
    play("impostor", "f_sec_08_another_program_on_the_daemons_port_learns_nothing").await;
}

#[tokio::test]
async fn an_expired_link_is_renewed_from_its_page() {
    play("renew", "an_expired_link_is_renewed_from_its_page").await;
}

#[tokio::test]
async fn the_rules_of_the_user_decide_what_stays_in_the_browser() {
    play("rules", "the_rules_of_the_user_decide_what_stays_in_the_browser").await;
}
