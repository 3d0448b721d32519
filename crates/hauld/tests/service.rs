//! The daemon as a service manager starts it, and what is dropped into its watch folder.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use haul_api::{Address, Client, Job, JobQuery};
use haul_testkit::{Content, File, Server};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; a test that meets it has failed.
const DEADLINE: Duration = Duration::from_secs(45);

/// A daemon's directory, with its configuration.
struct Home(TempDir);

impl Home {
    fn new(settings: &str) -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary directory"));
        let path = |name: &str| home.path(name).display().to_string();
        let text = format!(
            "{settings}\nlisten = \"127.0.0.1:0\"\nsocket = {:?}\ndata_dir = {:?}\ndownload_dir = {:?}\n",
            path("hauld.sock"),
            path("data"),
            path("downloads"),
        );
        fs::write(home.path("hauld.toml"), text).expect("a writable directory");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts a program with the daemon's arguments, and its log in a file.
    fn start(&self, mut command: Command) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a writable file");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HAULD_")) {
            command.env_remove(name);
        }
        let child = command.arg("--config").arg(self.path("hauld.toml")).stderr(Stdio::from(log)).spawn();
        Running(child.expect("it can be started"))
    }

    /// Starts the daemon as it is, and waits for it.
    fn start_plain(&self) -> Running {
        let running = self.start(Command::new(env!("CARGO_BIN_EXE_hauld")));
        wait_until("the socket is there", || self.path("hauld.sock").exists().then_some(()));
        running
    }

    /// Starts the daemon with these sockets as its descriptors 3 and 4, as systemd does.
    fn start_passing(&self, sockets: [OwnedFd; 2]) -> Running {
        let [first, second] = sockets.map(Stdio::from);
        let mut command = Command::new("sh");
        let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\"";
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_hauld")).stdin(first).stdout(second);
        self.start(command)
    }
}

/// A process, which is killed when the test is over.
struct Running(Child);

impl Running {
    fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
        self.ended()
    }

    fn ended(&mut self) -> ExitStatus {
        wait_until("the process has ended", || self.0.try_wait().expect("it is our child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn jobs(socket: &Path) -> Vec<Job> {
    hauld::install_crypto();
    let client = Client::new(Address::Unix(socket.to_owned()), None).expect("a client");
    client.jobs(&JobQuery::default()).await.expect("the daemon answers").jobs
}

/// The status line that a request over TCP is answered with.
fn status(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).expect("a time");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_passed_take_the_place_of_the_settings_and_stay() {
    let home = Home::new("");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = tcp.local_addr().expect("it is bound");
    let passed = home.path("passed.sock");
    let unix = UnixListener::bind(&passed).expect("a new socket");
    let running = home.start_passing([tcp.into(), unix.into()]);
    // Whoever comes before it is there waits.
    assert_eq!(status(address, "/readyz").as_deref(), Some("HTTP/1.1 200 OK"), "{}", home.log());
    assert_eq!(jobs(&passed).await, []);
    assert!(home.log().contains(&format!("listen=Some({address})")), "{}", home.log());
    assert!(!home.path("hauld.sock").exists(), "the setting has lost");
    assert!(running.terminate().success(), "{}", home.log());
    assert!(passed.exists(), "it is not the daemon's own");
}

#[test]
fn a_socket_of_another_kind_is_refused() {
    let home = Home::new("");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut running = home.start_passing([tcp.into(), other.into()]);
    assert_eq!(running.ended().code(), Some(69), "{}", home.log());
    assert!(home.log().contains("passed by the service manager"), "{}", home.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_submitted_once_and_marked() {
    let server = Server::start();
    let content = Content::seeded(7, 300_000);
    for name in ["/1.iso", "/2.bin", "/3.bin"] {
        server.add(name, File::new(content.clone()));
    }
    let drop = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| drop.path().join(name);
    // Before the start, and in its place at once.
    fs::write(at("old.curl"), format!("curl {}", server.url("/1.iso"))).expect("a writable directory");
    let home = Home::new(&format!(
        "watch = {:?}\nrules = [{{ extensions = [\"iso\"], label = \"disc\" }}]",
        drop.path().display().to_string()
    ));
    let socket = home.path("hauld.sock");
    let running = home.start_plain();
    let there = |name: &str| {
        let path = at(name);
        wait_until(name, || path.exists().then_some(()));
    };
    there("old.curl.added");

    let list = format!("{}\n out=two.bin\n{}?s3cret\n", server.url("/2.bin"), server.url("/3.bin"));
    fs::write(at(".hidden"), list).expect("a writable directory");
    fs::rename(at(".hidden"), at("list.txt")).expect("one file system");
    there("list.txt.added");
    fs::write(at("part.txt"), format!("{}\nftp://me:s3cret@h/x?s3cret\n", server.url("/2.bin"))).expect("a file");
    fs::write(at("bad.meta4"), "<html>s3cret").expect("a file");
    there("part.txt.failed.why");
    there("bad.meta4.failed.why");
    let why = |name: &str| fs::read_to_string(at(name)).expect("it is there");
    let partly = why("part.txt.failed.why");
    assert!(partly.starts_with("1 of 2 were added; the others were refused:\nline 2: only http"), "{partly}");
    assert!(why("bad.meta4.failed.why").contains("no Metalink"), "{}", why("bad.meta4.failed.why"));

    for name in ["1.iso", "two.bin", "3.bin"] {
        let path = home.path("downloads").join(name);
        wait_until(name, || path.exists().then_some(()));
        assert_eq!(fs::read(path).expect("it is there"), content.bytes(), "{name}");
    }
    let all = jobs(&socket).await;
    // Three names, and the second one without its `out`.
    assert_eq!(all.len(), 4, "{all:?}");
    let labels: Vec<_> = all.iter().filter_map(|job| job.label.as_deref()).collect();
    assert_eq!(labels, ["disc"], "{all:?}");

    assert!(running.terminate().success(), "{}", home.log());
    fs::write(at("new.url"), format!("[InternetShortcut]\nURL={}\n", server.url("/1.iso"))).expect("a file");
    let again = home.start_plain();
    there("new.url.added");
    assert_eq!(jobs(&socket).await.len(), 4, "what was added stays added, and the same is the same");
    assert!(again.terminate().success(), "{}", home.log());
    let said = home.log() + &partly + &why("bad.meta4.failed.why");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_watch_folder_among_the_downloads_is_refused_also_behind_a_link() {
    let home = Home::new("");
    fs::create_dir(home.path("downloads")).expect("a new directory");
    std::os::unix::fs::symlink(home.path("downloads"), home.path("link")).expect("a new link");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hauld"));
    command.arg("--set").arg(format!("watch={}", home.path("link").display()));
    let mut running = home.start(command);
    assert_eq!(running.ended().code(), Some(78), "{}", home.log());
    assert!(home.log().contains("where downloads go"), "{}", home.log());
}
