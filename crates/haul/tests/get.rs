//! `haul get` without a daemon: the engine in its own process, against a real server.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use haul_testkit::{Content, File, Server};
use tempfile::TempDir;

/// How long anything may take; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(45);

/// A home of its own, without a daemon, and a directory to download into.
struct Desk {
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("here")).expect("a new directory");
        Self { home }
    }

    fn here(&self) -> &Path {
        self.home.path()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.here().join("here").join(name)).expect("the file is there")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.here().join("here")).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
    }

    /// What is left of the state of earlier commands.
    fn states(&self) -> usize {
        fs::read_dir(self.here().join("state/haul/get")).map_or(0, Iterator::count)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haul"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.here())
            .env("XDG_STATE_HOME", self.here().join("state"))
            // Nobody listens there, so that a daemon of this machine is left alone.
            .env("HAULD_LISTEN", "127.0.0.1:9")
            .env("HAULD_SOCKET", self.here().join("hauld.sock"))
            .current_dir(self.here().join("here"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("haul can be started")
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("haul can be started")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill can be started");
    assert!(sent.success());
}

#[test]
fn files_arrive_and_nothing_is_left_behind() {
    let (server, desk) = (Server::start(), Desk::new());
    let contents: Vec<Content> = (0..3).map(|seed| Content::seeded(seed, 3_000_000)).collect();
    let urls: Vec<String> = (0..3).map(|number| server.url(&format!("/{number}.bin"))).collect();
    for (number, content) in contents.iter().enumerate() {
        server.add(&format!("/{number}.bin"), File::new(content.clone()));
    }
    let output = desk.run(&["get", &urls[0], &urls[1], &urls[2]]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for (number, content) in contents.iter().enumerate() {
        let name = format!("{number}.bin");
        assert_eq!(desk.file(&name), content.bytes(), "{name}");
        assert!(text(&output.stdout).lines().any(|line| line.ends_with(&format!("/here/{name}"))));
        assert!(text(&output.stderr).contains(&format!("completed {name}")));
    }
    assert_eq!((desk.names().len(), desk.states()), (3, 0));
}

#[test]
fn after_ctrl_c_the_same_command_goes_on_where_it_was() {
    let (server, desk) = (Server::start(), Desk::new());
    let content = Content::seeded(1, 16_000_000);
    server.add("/a.bin", File::new(content.clone()).etag("\"1\"").shared_rate(8_000_000));
    let url = server.url("/a.bin");
    let first = desk.start(&["get", "-x", "2", &url]);
    assert!(server.wait_until(DEADLINE, |server| server.bytes_sent("/a.bin") > 6_000_000));

    let second = desk.run(&["get", "-x", "2", &url]);
    assert_eq!(second.status.code(), Some(6), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("another `haul get`"), "{}", text(&second.stderr));

    interrupt(&first);
    let first = first.wait_with_output().expect("it ends");
    assert_eq!(first.status.code(), Some(130), "{}", text(&first.stderr));
    assert!(text(&first.stderr).contains("the same command goes on where it was"));
    assert!(desk.names().iter().all(|name| name.ends_with(".haul-part")), "{:?}", desk.names());

    let again = desk.run(&["get", "-x", "2", &url]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(desk.file("a.bin"), content.bytes());
    assert_eq!((desk.names(), desk.states()), (vec!["a.bin".to_owned()], 0));
    let sent_again = server.bytes_sent_again("/a.bin");
    assert!(sent_again < content.len() / 10, "{sent_again} bytes were sent twice");
}

#[test]
fn a_file_that_is_not_there_is_a_failure_with_a_reason() {
    let (server, desk) = (Server::start(), Desk::new());
    let output = desk.run(&["get", &server.url("/nothing")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("404"), "{}", text(&output.stderr));
    assert_eq!(server.requests("/nothing"), 1);
    assert_eq!((desk.names().len(), desk.states()), (0, 0));
}

#[test]
fn programs_get_one_json_object_a_line() {
    let (server, desk) = (Server::start(), Desk::new());
    server.add("/a.bin", File::new(Content::seeded(1, 100_000)));
    let output = desk.run(&["get", "--json", &server.url("/a.bin")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let events: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = events.last().expect("at least the end");
    assert_eq!(last["event"], "completed");
    assert_eq!(last["job"]["total_bytes"], 100_000);
}

#[test]
fn a_metalink_that_lies_here_is_fetched_from_its_mirrors() {
    let (desk, dead, server) = (Desk::new(), Server::start(), Server::start());
    dead.close_listener();
    let content = Content::seeded(21, 3_000_000);
    server.add("/a", File::new(content.clone()).etag("\"v1\""));
    let document = format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a.iso"><size>{}</size>
        <hash type="sha-256">{}</hash><url priority="1">{}</url><url priority="2">{}</url></file>
        <file name="b.iso"><url>ftp://b.example/b</url></file></metalink>"#,
        content.len(),
        content.sha256(),
        dead.url("/a"),
        server.url("/a"),
    );
    fs::write(desk.here().join("here/x.meta4"), document).expect("a writable directory");
    let output = desk.run(&["get", "x.meta4"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "one of the two cannot be had: {errors}");
    assert!(errors.contains("no URL for `b.iso` that can be fetched"), "{errors}");
    assert_eq!(desk.file("a.iso"), content.bytes());
    assert_eq!(desk.states(), 0, "nothing is left to go on with");
}
