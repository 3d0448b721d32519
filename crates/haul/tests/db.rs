//! `haul db`, beside an engine that uses the database.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What `haul db` says of the database in this directory: exit code, standard output and standard error.
fn haul_db(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_haul"))
        .arg("db")
        .args(arguments)
        .arg("--data-dir")
        .arg(dir)
        .env_clear()
        .env("HOME", dir)
        .output()
        .expect("haul can be started");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_is_checked_and_copied_and_no_file_is_replaced() {
    hauld::install_crypto();
    let home = tempfile::tempdir().expect("a temporary directory");
    let (state, files) = (home.path().join("state"), home.path().join("files"));
    fs::create_dir(&files).expect("a new directory");
    let engine = hauld::Embedded::start(&state, &files, Vec::new()).await.expect("it starts");

    let (code, said, _) = haul_db(&state, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("sound (quick check): 0 jobs, "), "{said}");
    let (code, said, _) = haul_db(&state, &["check", "--full", "--json"]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &report["sound"], &report["check"]), (Some(0), &true.into(), &"full".into()), "{said}");

    let copy = home.path().join("copy.db");
    let backup = ["backup", copy.to_str().expect("UTF-8")];
    let (code, said, _) = haul_db(&state, &backup);
    assert_eq!((code, said.trim()), (Some(0), backup[1]));
    assert_eq!(fs::metadata(&copy).expect("the copy").permissions().mode() & 0o777, 0o600);
    let before = fs::read(&copy).expect("the copy");
    let (code, said, why) = haul_db(&state, &backup);
    assert_eq!((code, said.as_str()), (Some(6), ""));
    assert!(why.starts_with("error: could not create `") && why.contains("exists"), "{why}");
    assert_eq!(fs::read(&copy).expect("the copy"), before);
    engine.stop().await;

    // The copy is a database like the one that it was made of.
    let restored = home.path().join("restored");
    fs::create_dir(&restored).expect("a new directory");
    fs::rename(&copy, restored.join("haul.db")).expect("one file system");
    let engine = hauld::Embedded::start(&restored, &files, Vec::new()).await.expect("it starts");
    engine.stop().await;
}

#[test]
fn damage_and_absence_have_their_own_words_and_exit_codes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (code, _, why) = haul_db(dir.path(), &["check"]);
    assert_eq!(code, Some(6), "{why}");
    assert!(why.contains("there is no database at") && why.contains("--data-dir"), "{why}");
    fs::write(dir.path().join("haul.db"), "my thesis \u{1b}[2J".repeat(100)).expect("a writable directory");
    let (code, said, _) = haul_db(dir.path(), &["check"]);
    assert_eq!(code, Some(7), "{said}");
    assert!(said.starts_with("damaged: `") && !said.contains('\u{1b}'), "{said}");
    let (code, said, _) = haul_db(dir.path(), &["check", "--json"]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &report["sound"]), (Some(7), &false.into()), "{said}");
    let (code, _, why) = haul_db(dir.path(), &["backup", "copy.db"]);
    assert_eq!(code, Some(7), "{why}");
}
