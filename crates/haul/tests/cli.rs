//! The binary as a user meets it: help, exit codes, and what is printed where.

mod daemon;

use std::path::Path;

use assert_cmd::Command;
use daemon::{FakeDaemon, JOB};
use tempfile::TempDir;

/// `haul` in an environment of its own, where no daemon is running.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn haul(&self, arguments: &[&str]) -> Run {
        let mut command = Command::cargo_bin("haul").expect("the binary is built");
        let output = command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            // Nothing listens on the discard port.
            .env("HAULD_LISTEN", "127.0.0.1:9")
            .env("HAULD_SOCKET", self.path().join("hauld.sock"))
            .current_dir(self.path())
            .output()
            .expect("it runs");
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// `haul` with a daemon that answers everything like this.
    fn haul_with(&self, status: &str, body: &str, arguments: &[&str]) -> (Run, String) {
        let daemon = FakeDaemon::start(status, body);
        let token = self.path().join("token");
        std::fs::write(&token, "t0ken-s3cret\n").expect("a writable directory");
        let token = token.to_str().expect("UTF-8").to_owned();
        let all = [&["--server", daemon.url(), "--token-file", &token], arguments].concat();
        let run = self.haul(&all);
        (run, daemon.asked())
    }
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[test]
fn help_explains_commands_and_exit_codes() {
    let run = Home::new().haul(&["--help"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for word in ["get", "add", "ls", "watch", "--json", "Exit codes:", "130  interrupted"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let run = Home::new().haul(&["ls"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.starts_with("error: the daemon is not running\n"), "{run:?}");
    assert!(run.stderr.contains("help: start it with `hauld`, or `systemctl --user start hauld`"), "{run:?}");
    assert!(run.stderr.contains("http://127.0.0.1:9"), "{run:?}");
    assert_eq!(run.stdout, "");
}

#[test]
fn a_named_socket_that_is_not_there_is_named_in_the_error() {
    let run = Home::new().haul(&["--socket", "/nowhere/hauld.sock", "get", "http://localhost/a"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("`/nowhere/hauld.sock`"), "{run:?}");
}

#[test]
fn mistakes_on_the_command_line_have_code_2() {
    let home = Home::new();
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["show", "abc"],
        &["limit", "fast"],
        &["get", "example.org/a.iso"],
        &["get", "ftp://example.org/a.iso"],
        &["get", "-o", "x", "http://a.invalid/1", "http://a.invalid/2"],
        &["get", "-H", "no colon", "http://a.invalid/"],
        &["--server", "localhost:4285", "ls"],
        &["--server", "http://192.0.2.1", "get", "http://a.invalid/"],
    ] {
        let run = home.haul(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_wrong_configuration_has_code_6_and_names_its_place() {
    let home = Home::new();
    let dir = home.path().join(".config/hauld");
    std::fs::create_dir_all(&dir).expect("a writable directory");
    std::fs::write(dir.join("hauld.toml"), "\nmax_activ_jobs = 3\n").expect("a writable file");
    let run = home.haul(&["ls"]);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stderr.contains("line 2") && run.stderr.contains("max_activ_jobs"), "{run:?}");
}

#[test]
fn a_wrong_token_has_code_4_and_names_its_file() {
    let body = r#"{"status": 401, "detail": "a valid token is needed", "code": "unauthorized"}"#;
    let home = Home::new();
    let (run, asked) = home.haul_with("401 Unauthorized", body, &["ls"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.contains("/token`"), "{run:?}");
    assert!(!run.stderr.contains("t0ken-s3cret"), "{run:?}");
    assert!(asked.contains("authorization: Bearer t0ken-s3cret\r\n"), "{asked}");
}

#[test]
fn a_missing_token_file_has_code_4() {
    let daemon = FakeDaemon::start("200 OK", "{}");
    let run = Home::new().haul(&["--server", daemon.url(), "--token-file", "/nowhere/token", "ls"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.contains("`/nowhere/token`"), "{run:?}");
}

#[test]
fn an_unknown_job_has_code_5_and_points_to_the_list() {
    let body = r#"{"status": 404, "detail": "no job has the id 17", "code": "job-not-found"}"#;
    for arguments in [&["show", "17"][..], &["pause", "17"], &["watch", "17"], &["limit", "17", "2MB"]] {
        let (run, _) = Home::new().haul_with("404 Not Found", body, arguments);
        assert_eq!(run.code, Some(5), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("no job has the id 17"), "{run:?}");
        assert!(run.stderr.contains("`haul ls`"), "{run:?}");
    }
}

#[test]
fn with_json_errors_are_json_too() {
    let body = r#"{"status": 404, "detail": "no job has the id 17", "code": "job-not-found"}"#;
    let (run, _) = Home::new().haul_with("404 Not Found", body, &["show", "17", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).expect("one document");
    assert_eq!(error["error"]["exit_code"], 5);
    assert_eq!(error["error"]["problem"]["code"], "job-not-found");
}

#[test]
fn ls_prints_a_table_or_what_the_api_answered() {
    let body = format!(r#"{{"jobs": [{JOB}], "next_cursor": null}}"#);
    let (run, asked) = Home::new().haul_with("200 OK", &body, &["ls", "-s", "active,queued", "--label", "x"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(asked.starts_with("GET /v1/jobs?state=active%2Cqueued&label=x&limit=1000 "), "{asked}");
    let expected = "ID  STATE   DONE     SIZE      SPEED  LEFT  NAME\n17  active  34 %  1.00 GB  87.3 MB/s   8 s  a\\u{1b}[2J.iso\n";
    assert_eq!(run.stdout, expected);
    let (run, _) = Home::new().haul_with("200 OK", &body, &["ls", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(list["jobs"][0]["id"], 17);
}

#[test]
fn add_sends_what_was_asked_for_and_prints_the_job() {
    let home = Home::new();
    let arguments = ["add", "-d", "/srv", "-x", "4", "-l", "2MB", "-H", "Cookie: a=s3cret", "http://a/b?s3cret"];
    let (run, asked) = home.haul_with("201 Created", JOB, &arguments);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("17  a"), "{run:?}");
    assert!(!format!("{run:?}").contains("s3cret"), "{run:?}");
    let (_, body) = asked.split_once("\r\n\r\n").expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let expected = serde_json::json!({
        "url": "http://a/b?s3cret", "dir": "/srv", "connections": 4, "bandwidth_limit": 2_000_000,
        "headers": {"Cookie": "a=s3cret"},
    });
    assert_eq!(body, expected);
}

#[test]
fn add_reads_a_list_and_reports_each_refusal() {
    let home = Home::new();
    std::fs::write(home.path().join("list"), "# two\nhttp://a/1\n\nhttp://a/2?s3cret\n").expect("a writable file");
    let body = format!(
        r#"{{"results": [{{"status": 201, "job": {JOB}}}, {{"status": 422,
            "problem": {{"status": 422, "detail": "it cannot be used", "code": "invalid-url", "field": "url"}}}}]}}"#
    );
    let (run, _) = home.haul_with("200 OK", &body, &["add", "-i", "list"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.starts_with("17  "), "{run:?}");
    assert!(run.stderr.contains("error: http://a/2?...: it cannot be used"), "{run:?}");
    std::fs::write(home.path().join("list"), "http://a/1\nnonsense\n").expect("a writable file");
    let (run, asked) = home.haul_with("200 OK", &body, &["add", "-i", "list"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("line 2 of `list`"), "{run:?}");
    assert_eq!(asked, "", "nothing is sent when a line is wrong");
}

#[test]
fn completions_and_manual_pages_know_the_command_line() {
    let home = Home::new();
    for (arguments, parts) in [
        (&["completions", "bash"][..], &["complete -F _haul", "--checksum-url", "haul__subcmd__get"][..]),
        (&["completions", "zsh"], &["#compdef haul", "--checksum-url"]),
        (&["completions", "fish"], &["complete -c haul", "checksum-url"]),
        (&["completions", "zsh", "hauld"], &["#compdef hauld", "--print-config"]),
    ] {
        let run = home.haul(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        for part in parts {
            assert!(run.stdout.contains(part), "{arguments:?}: {part}");
        }
    }
    assert_eq!(home.haul(&["completions", "tcl"]).code, Some(2));

    let run = home.haul(&["man", "pages/man"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let page = |name: &str| std::fs::read_to_string(home.path().join("pages/man").join(name)).expect(name);
    for (name, parts) in [
        ("haul.1", &[".TH haul 1", "haul\\-get(1)", ".SH FILES", "no job has this id", "\\fBhauld\\fR(8)"][..]),
        ("haul-get.1", &[".TH haul-get 1", "\\-\\-checksum\\-url", ".SH \"EXIT STATUS\"", "\\fBhaul\\fR(1)"]),
        ("haul-token-add.1", &["\\-\\-scope"]),
        (
            "hauld.8",
            &[".TH hauld 8", "\\-\\-print\\-config", "/etc/hauld/hauld.toml", "another hauld has the database"],
        ),
    ] {
        let text = page(name);
        for part in parts {
            assert!(text.contains(part), "{name}: {part}: {text}");
        }
    }
}

#[test]
fn add_reads_an_input_file_of_aria2_from_standard_input_or_a_file() {
    let home = Home::new();
    let list = "http://a/1\thttp://b/1\n  out=one.iso\n  dir=/srv\n  header=X-A: 1\n  gid=7\n";
    std::fs::write(home.path().join("list"), list).expect("a writable file");
    let (run, asked) = home.haul_with("201 Created", JOB, &["add", "-x", "3", "-i", "list"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stderr, "line 5 of `list`: `gid` means nothing here and is passed over\n");
    let body: serde_json::Value = serde_json::from_str(asked.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let expected = serde_json::json!({
        "url": "http://a/1", "mirrors": ["http://b/1"], "filename": "one.iso", "dir": "/srv", "connections": 3,
        "headers": {"X-A": "1"},
    });
    assert_eq!(body, expected);
    std::fs::write(home.path().join("list"), "http://a/1\n  seed-time=3\n").expect("a writable file");
    let run = home.haul(&["add", "-i", "list", "--dry-run"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("line 2 of `list`: there is no option `seed-time`"), "{run:?}");
}

#[test]
fn a_dry_run_prints_what_would_be_asked_for_and_asks_nobody() {
    let home = Home::new();
    let run = home.haul(&["add", "--expand", "--dry-run", "http://a/[08-10].{iso,sum}"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let expected =
        "http://a/08.iso\nhttp://a/08.sum\nhttp://a/09.iso\nhttp://a/09.sum\nhttp://a/10.iso\nhttp://a/10.sum\n";
    assert_eq!(run.stdout, expected);
    let run = home.haul(&["get", "-n", "-d", "sub", "--json", "http://a/[1-2]"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(json["jobs"][0]["urls"], serde_json::json!(["http://a/[1-2]"]), "nothing is expanded unasked");
    assert!(run.stderr.contains("--expand would make several URLs"), "{run:?}");
    assert!(!home.path().join("sub").exists(), "nothing is made");
}

#[test]
fn limit_shows_and_sets() {
    let settings = r#"{"bandwidth_limit": 2000000, "bandwidth_schedule": [], "bandwidth_limit_now": 2000000,
        "labels": {"iso": {"bandwidth_limit": 500000, "bandwidth_schedule": [], "bandwidth_limit_now": 500000}},
        "max_active_jobs": 8, "connections_per_host": 32, "connections_per_job": 32, "connections_total": 512}"#;
    let (run, asked) = Home::new().haul_with("200 OK", settings, &["limit", "2MB/s"]);
    assert_eq!(run.stdout, "everything: 2MB/s\n");
    assert!(asked.starts_with("PATCH /v1/settings ") && asked.ends_with(r#"{"bandwidth_limit":2000000}"#), "{asked}");
    let (run, asked) = Home::new().haul_with("200 OK", settings, &["limit", "--label", "iso", "500KB"]);
    assert_eq!(run.stdout, "label iso: 500KB/s\n");
    assert!(asked.ends_with(r#"{"labels":{"iso":{"bandwidth_limit":500000}}}"#), "{asked}");
    let (run, asked) = Home::new().haul_with("200 OK", settings, &["limit"]);
    assert_eq!(run.stdout, "everything: 2MB/s\nlabel iso: 500KB/s\n");
    assert!(asked.starts_with("GET /v1/settings "), "{asked}");
    let (run, asked) = Home::new().haul_with("200 OK", JOB, &["limit", "17", "none"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(asked.starts_with("PATCH /v1/jobs/17 ") && asked.ends_with(r#"{"bandwidth_limit":0}"#), "{asked}");
}

#[test]
fn host_lists_shows_changes_and_forgets() {
    let host = r#"{"host": "http://a.example", "connections": {"active": 1, "max": 4, "learned_cap": null,
        "learned_from": 0, "holds_until": null}, "useful_connections": null, "bytes_per_second": null,
        "answer_time_ms": 42, "blocked_until": null, "last_fault": null, "bandwidth_limit": 2000000}"#;
    let list = format!(r#"{{"hosts": [{host}], "next_cursor": null}}"#);
    let (run, asked) = Home::new().haul_with("200 OK", &list, &["host"]);
    assert!(run.stdout.contains("http://a.example       1        4"), "{run:?}");
    assert!(asked.starts_with("GET /v1/hosts?limit=1000 "), "{asked}");
    let (run, asked) = Home::new().haul_with("200 OK", host, &["host", "http://a.example"]);
    assert!(run.stdout.contains("connections   1 of at most 4\nanswers in    42 ms\nlimit         2MB/s\n"), "{run:?}");
    assert!(asked.starts_with("GET /v1/hosts/http%3A%2F%2Fa.example "), "{asked}");
    let line = ["host", "a.example", "--connections", "4", "--limit", "2MB", "--unblock", "--json"];
    let (run, asked) = Home::new().haul_with("200 OK", host, &line);
    assert!(asked.starts_with("PATCH /v1/hosts/a.example "), "{asked}");
    assert!(asked.ends_with(r#"{"connections":4,"bandwidth_limit":2000000,"blocked":false}"#), "{asked}");
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(shown["connections"]["max"], 4);
    let (run, asked) = Home::new().haul_with("204 No Content", "", &["host", "a.example", "--forget"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "a.example  forgotten\n"));
    assert!(asked.starts_with("DELETE /v1/hosts/a.example "), "{asked}");
    let body = r#"{"status": 404, "detail": "nothing is known of `https://b.example`; `GET /v1/hosts` lists",
        "code": "host-not-found"}"#;
    let (run, _) = Home::new().haul_with("404 Not Found", body, &["host", "b.example"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.starts_with("error: nothing is known of `https://b.example`\nhelp: `haul host`"), "{run:?}");
}

#[test]
fn why_says_the_rest_below_its_sentence() {
    let body = r#"{"summary": "fetching at 5 B/s: it uses the 1 connection that it may use", "reasons": [
        {"code": "job-cap", "message": "it uses the 1 connection that it may use", "connections_max": 1},
        {"code": "per-connection", "message": "the server gives about 5 B/s per connection (1 in use)"}]}"#;
    let (run, asked) = Home::new().haul_with("200 OK", body, &["why", "#17"]);
    let expected = "17  fetching at 5 B/s: it uses the 1 connection that it may use\n    also: the server gives about \
                    5 B/s per connection (1 in use)\n";
    assert_eq!(run.stdout, expected);
    assert!(asked.starts_with("GET /v1/jobs/17/why "), "{asked}");
    let (run, _) = Home::new().haul_with("200 OK", body, &["why", "17", "--json"]);
    let why: serde_json::Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(why["reasons"][0]["connections_max"], 1);
}

#[test]
fn token_prints_its_place_or_itself() {
    let home = Home::new();
    let run = home.haul(&["token"]);
    let path = home.path().join(".local/share/hauld/token");
    assert_eq!(run.stdout.trim_end(), path.to_str().expect("UTF-8"));
    let run = home.haul(&["token", "--show"]);
    assert_eq!(run.code, Some(6), "{run:?}");
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a writable directory");
    std::fs::write(&path, "t0ken\n").expect("a writable file");
    assert_eq!(home.haul(&["token", "--show"]).stdout, "t0ken\n");
}

#[test]
fn a_watched_job_that_completes_ends_the_watching() {
    let done = JOB.replace(r#""state": "active""#, r#""state": "completed""#);
    let (run, _) = Home::new().haul_with("200 OK", &done, &["watch", "17"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.starts_with("completed a"), "{run:?}");
    let failed = JOB.replace(r#""state": "active""#, r#""state": "failed""#);
    let (run, _) = Home::new().haul_with("200 OK", &failed, &["watch", "17", "--json"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let event: serde_json::Value = serde_json::from_str(&run.stdout).expect("one event");
    assert_eq!(event["event"], "failed");
}

#[test]
fn add_hands_over_the_files_of_a_metalink() {
    let home = Home::new();
    let document = r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a.iso">
        <url priority="2">http://b.invalid/a</url><url priority="1">http://a.invalid/a</url></file></metalink>"#;
    std::fs::write(home.path().join("x.meta4"), document).expect("a writable directory");
    let (run, asked) = home.haul_with("201 Created", JOB, &["add", "--label", "iso", "x.meta4"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let body = asked.split("\r\n\r\n").nth(1).expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let expected = serde_json::json!({
        "url": "http://a.invalid/a", "mirrors": ["http://b.invalid/a"], "filename": "a.iso", "label": "iso",
    });
    assert_eq!(body, expected);
    let run = home.haul(&["get", "y.meta4"]);
    assert!(run.code != Some(0) && run.stderr.contains("y.meta4"), "{run:?}");
}

#[test]
fn verify_tells_what_it_found_and_its_exit_code_says_whether_all_is_well() {
    let home = Home::new();
    let with = |bad: &str| {
        let verified = format!(
            r#""verified": {{"at": "2026-11-05T10:00:00Z", "checked_bytes": 1000000000, "unchecked_bytes": 0,
            "bad": [{bad}], "reason": null}}, "verification""#
        );
        JOB.replace("\"verification\"", &verified).replace(r#""state": "active""#, r#""state": "completed""#)
    };
    let (run, asked) = home.haul_with("200 OK", &with(""), &["verify", "17"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, "17  a\\u{1b}[2J.iso: intact, 1.00 GB checked\n");
    assert!(asked.starts_with("POST /v1/jobs/17/verify?wait=60 ") && asked.ends_with("{\"repair\":false}"), "{asked}");

    let damaged = with(r#"{"start": 0, "end": 1000000}"#);
    let (run, _) = home.haul_with("200 OK", &damaged, &["verify", "17"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains("1.00 MB in 1 place damaged (bytes 0-999999)"), "{run:?}");
    assert!(run.stderr.contains("help: `haul verify 17 --repair` fetches that again"), "{run:?}");

    let (run, asked) = home.haul_with("200 OK", &damaged, &["verify", "--json", "--repair", "17"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("\"bad\":[{\"start\":0,\"end\":1000000}]"), "{run:?}");
    assert!(asked.ends_with("{\"repair\":true}"), "{asked}");
}

#[test]
fn where_the_checksum_is_to_be_had_is_passed_on() {
    let arguments = ["add", "http://a/b", "--checksum-url", "http://a/SHA256SUMS"];
    let (run, asked) = Home::new().haul_with("201 Created", JOB, &arguments);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(asked.contains("\"checksum_url\":\"http://a/SHA256SUMS\""), "{asked}");
    for wrong in [&["ftp://a/?s3cret"][..], &["http://a/x", "--checksum", "md5:00"]] {
        let run = Home::new().haul(&[&["get", "http://a/b", "--checksum-url"], wrong].concat());
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(!run.stderr.contains("s3cret"), "{run:?}");
    }
}

#[test]
fn f_sec_05_a_new_token_goes_to_standard_output_alone_and_comes_from_no_argument() {
    let made = r#"{"id": 3, "name": "browser", "scope": "submit", "jobs_max": 50, "token": "new-s3cret",
        "created_at": "2026-11-05T10:00:00Z", "last_used_at": null}"#;
    let (run, asked) = Home::new().haul_with("201 Created", made, &["token", "add", "browser", "--jobs", "50"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "new-s3cret\n"), "{run:?}");
    assert!(!run.stderr.contains("s3cret") && run.stderr.contains("not shown again"), "{run:?}");
    assert!(asked.starts_with("POST /v1/tokens "), "{asked}");
    assert!(asked.ends_with(r#"{"name":"browser","scope":"submit","jobs_max":50}"#), "{asked}");

    let list = r#"{"tokens": [{"id": 3, "name": "brow\u001b[2Jser", "scope": "submit", "jobs_max": 50,
        "created_at": "2026-11-05T10:00:00Z", "last_used_at": null}]}"#;
    let (run, _) = Home::new().haul_with("200 OK", list, &["token", "ls"]);
    assert!(run.stdout.contains("never") && !run.stdout.contains('\u{1b}'), "{run:?}");

    let code =
        r#"{"code": "ABCD-EFGH-JKMN-PQRS", "expires_at": "2026-11-05T10:02:00Z", "scope": "submit", "page_url": null}"#;
    let (run, _) = Home::new().haul_with("200 OK", code, &["pair"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "ABCD-EFGH-JKMN-PQRS\n"), "{run:?}");
    assert_eq!(Home::new().haul(&["token", "add", "x", "--scope", "owner"]).code, Some(2));
}

#[test]
fn the_address_of_the_page_holds_a_code_of_which_no_server_is_told() {
    let code =
        r#"{"code": "ABCD-EFGH-JKMN-PQRS", "expires_at": "2026-11-05T10:02:00Z", "scope": "admin", "page_url": null}"#;
    let (run, asked) = Home::new().haul_with("200 OK", code, &["open"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.starts_with("http://127.0.0.1:") && run.stdout.ends_with("/#code=ABCD-EFGH-JKMN-PQRS\n"),
        "{run:?}"
    );
    assert!(asked.starts_with("POST /v1/pair/code ") && asked.ends_with(r#"{"scope":"admin"}"#), "{asked}");
}

/// A daemon's report of itself with these findings.
fn report(findings: &str) -> String {
    format!(
        r#"{{"healthy": false, "findings": [{findings}], "version": "0.1.0", "sqlite": "3.54.1", "system": "Linux 6 x86_64",
        "uptime_seconds": 5, "clock": {{"now": "2026-11-05T10:00:00Z", "last_error_at": null}}, "log": "info",
        "configuration": {{}}, "directories": [{{"setting": "download_dir", "path": "/srv\u001b[2J", "file_system": "ext4",
        "free_bytes": 1000000000, "total_bytes": 2000000000, "reserved_bytes": 1, "trouble": null}}],
        "limits": {{"open_files_max": 1024, "open_files": 9, "connections_possible": 480, "connections_total": 512}},
        "database": {{"bytes": 4096, "schema": 9, "jobs": 3, "damage": [], "waiting": 0}}, "last_errors": [], "hosts": [],
        "waiting": [{{"id": 7, "state": "waiting", "waiting_for": "link", "why": "the link has expired"}}]}}"#
    )
}

#[test]
fn doctor_says_what_to_do_and_its_exit_code_tells_whether_there_is_anything() {
    let finding =
        r#"{"code": "link-expired", "message": "job 7 needs a new link", "advice": "Use `haul renew 7 URL`."}"#;
    let (run, asked) = Home::new().haul_with("200 OK", &report(finding), &["doctor"]);
    assert!(asked.starts_with("GET /v1/doctor "), "{asked}");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("\nproblem: job 7 needs a new link\n    Use `haul renew 7 URL`.\n"), "{run:?}");
    assert!(run.stdout.contains("job 7 waiting: the link has expired"), "{run:?}");
    assert!(run.stdout.contains("download_dir `/srv\\u{1b}[2J` on ext4: 1.00 GB free"), "{run:?}");
    let (run, _) = Home::new().haul_with("200 OK", &report(finding), &["-q", "doctor"]);
    assert_eq!(run.stdout, "\nproblem: job 7 needs a new link\n    Use `haul renew 7 URL`.\n", "{run:?}");
    let (run, _) = Home::new().haul_with("200 OK", &report(""), &["doctor"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "nothing is wrong\n"), "{run:?}");
    let (run, _) = Home::new().haul_with("200 OK", &report(finding), &["--json", "doctor"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((run.code, &json["findings"][0]["code"]), (Some(1), &"link-expired".into()));
}
