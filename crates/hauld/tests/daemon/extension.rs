//! The browser extension in a real Chromium and a real Firefox, with a site of its own and a real daemon.
//!
//! `extension/chromium.py` and `extension/firefox.py` drive the browser, as a user would; `extension/pure.js` tries the
//! extension's rules. They run in a network in which the site has a public address: a token of scope `submit` reaches no other.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Daemon, PUBLIC, chromium, firefox, is_inside, tool};

/// Plays a scenario of Chromium's driver.
async fn play(scenario: &str, test: &str) {
    play_in("chromium", chromium(), scenario, test).await;
}

/// Plays a scenario of a browser's driver. Does nothing on a machine that does not have what it takes, which CI is not.
async fn play_in(browser: &str, program: Option<PathBuf>, scenario: &str, test: &str) {
    let (Some(python), Some(program)) = (tool("python3"), program) else { return };
    if !is_inside(&format!("extension::{test}")) {
        return;
    }
    let daemon = Daemon::start().await;
    let settings = json!({
        "daemon": format!("http://{}", daemon.tcp()),
        "token": daemon.home().token(),
        "downloads": daemon.home().downloads(),
        "host": PUBLIC,
        "browser": program,
        "extension": concat!(env!("CARGO_MANIFEST_DIR"), "/../../extension"),
    });
    let output = Command::new(python)
        .arg(format!("{}/tests/daemon/extension/{browser}.py", env!("CARGO_MANIFEST_DIR")))
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

#[tokio::test]
async fn in_firefox_a_click_is_taken_over_once_the_user_permits_it() {
    play_in("firefox", firefox(), "take-over", "in_firefox_a_click_is_taken_over_once_the_user_permits_it").await;
}

#[tokio::test]
async fn in_firefox_a_download_that_haul_cannot_have_goes_on_where_it_was() {
    let test = "in_firefox_a_download_that_haul_cannot_have_goes_on_where_it_was";
    play_in("firefox", firefox(), "browser-keeps", test).await;
}
