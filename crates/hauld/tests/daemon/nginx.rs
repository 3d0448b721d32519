//! Against a real nginx, which most files of this world come from.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use haul_api::{JobState, SubmitJob};
use haul_testkit::{Content, Port};
use tempfile::TempDir;

use crate::support::{Daemon, MIB, assert_chunks_tile, assert_holds, wait_until};

/// A running nginx that serves one directory.
struct Nginx {
    dir: TempDir,
    port: u16,
    _kept: Port,
    process: Child,
}

impl Nginx {
    /// Starts it. `None` on a machine that does not have it, which CI is not.
    async fn start(location: &str) -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "nginx cannot be found; install the package `nginx-light`");
            return None;
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("www")).expect("a new directory");
        let kept = Port::free().expect("a free port");
        let port = kept.number().expect("it is bound");
        let config = dir.path().join("nginx.conf");
        fs::write(&config, configuration(dir.path(), port, location)).expect("a writable file");
        let process = Command::new(program)
            .arg("-c")
            .arg(&config)
            .args(["-e", "stderr"])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx can be started");
        let nginx = Self { dir, port, _kept: kept, process };
        wait_until("nginx answers", async || TcpStream::connect(("127.0.0.1", port)).ok()).await;
        Some(nginx)
    }

    /// Puts a file there, in place of an older one of this name; answers that are under way go on with the older one.
    fn put(&self, name: &str, content: &Content) {
        let (new, path) = (self.dir.path().join("new"), self.dir.path().join("www").join(name));
        fs::write(&new, content.bytes()).expect("a writable file");
        fs::rename(&new, &path).expect("the same directory tree");
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// How often a file was asked for. nginx writes its log after the last byte, so the line may be on its way.
    fn requests(&self, name: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("access.log")).expect("nginx writes its log");
        log.lines().filter(|line| line.ends_with(&format!(" /{name}"))).count()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join("nginx")).find(|program| program.is_file())
}

fn configuration(dir: &Path, port: u16, location: &str) -> String {
    let dir = dir.display();
    // One process, so that killing it ends all of it.
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;
         events {{ worker_connections 1024; }}
         http {{
           log_format short '$status $http_range $body_bytes_sent $uri'; access_log {dir}/access.log short;
           client_body_temp_path {dir}/t; proxy_temp_path {dir}/t; fastcgi_temp_path {dir}/t;
           uwsgi_temp_path {dir}/t; scgi_temp_path {dir}/t;
           server {{ listen 127.0.0.1:{port} reuseport; root {dir}/www; location / {{ {location} }} }}
         }}"
    )
}

#[tokio::test]
async fn files_of_every_size_arrive_and_small_ones_cost_one_request() {
    let Some(nginx) = Nginx::start("").await else { return };
    let daemon = Daemon::with("max_active_jobs = 20").await;
    let large = Content::seeded(1, 96 * MIB + 5);
    nginx.put("large.bin", &large);
    let id = daemon.submit(&nginx.url("large.bin")).await;
    // A small file that takes seconds is split: nothing is to take the machine from it.
    daemon.completed(id).await;
    let small: Vec<(String, Content)> = [0, 1, 4095, 4096, 65_536, 1_000_000]
        .into_iter()
        .chain(std::iter::repeat_n(16_384, 6))
        .enumerate()
        .map(|(seed, size)| (format!("{seed}.bin"), Content::seeded(seed as u64, size)))
        .collect();
    let mut ids = Vec::new();
    for (name, content) in &small {
        nginx.put(name, content);
        ids.push(daemon.submit(&nginx.url(name)).await);
    }
    for (id, (name, content)) in ids.into_iter().zip(&small) {
        daemon.completed(id).await;
        assert_holds(&daemon.home().downloads().join(name), content);
        wait_until("the request is in the log", async || (nginx.requests(name) > 0).then_some(())).await;
        assert_eq!(nginx.requests(name), 1, "{name}");
    }
    assert_holds(&daemon.home().downloads().join("large.bin"), &large);
    assert_chunks_tile(&daemon.client().chunks(id).await.expect("its chunks").chunks, large.len());
}

#[tokio::test]
async fn f_ident_01_a_file_that_was_replaced_while_the_job_rested_is_never_spliced() {
    let Some(nginx) = Nginx::start("limit_rate 2m;").await else { return };
    let daemon = Daemon::start().await;
    let (old, new) = (Content::seeded(1, 24 * MIB), Content::seeded(2, 24 * MIB));
    nginx.put("a.bin", &old);
    let job = SubmitJob { connections: Some(4), ..SubmitJob::new(nginx.url("a.bin")) };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "some of it is there", |job| job.done_bytes > MIB).await;
    daemon.client().pause(id).await.expect("it can be paused");
    daemon.until(id, "it rests", |job| job.state == JobState::Paused && job.connections.active == 0).await;
    nginx.put("a.bin", &new);
    // nginx makes its tag of length and second: another second, or the versions cannot be told apart by anybody.
    let other_second = fs::File::options().append(true).open(nginx.dir.path().join("www/a.bin")).expect("the file");
    other_second.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("it is ours");
    daemon.client().resume(id).await.expect("it can be resumed");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &new);
}
