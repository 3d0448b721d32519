//! A daemon in this process, on a disk of the test's choice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_api::{Address, Client, Job, JobState, SubmitJob};
use haul_testkit::Content;
use haul_transfer::testing::FaultyFs;
use haul_transfer::{Disk, Disks, Fs};
use hauld::Daemon;
use hauld::config::Config;
use tempfile::TempDir;

/// One mebibyte.
pub(crate) const MIB: u64 = 1 << 20;

/// Longer than anything here takes on a busy machine with two cores; a test that meets it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(3);

/// Where daemons live, one after the other.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(home.downloads()).expect("a new directory");
        fs::create_dir(home.aside()).expect("a new directory");
        home
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.0.path().join("downloads")
    }

    /// Where a disk may keep what it wants, on the same file system.
    pub(crate) fn aside(&self) -> PathBuf {
        self.0.path().join("aside")
    }

    /// The data directory of the life `life`.
    pub(crate) fn data(&self, life: &str) -> PathBuf {
        self.0.path().join(life)
    }

    /// The names in the download directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.downloads()).expect("a directory");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(name).map(|name| name.into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }
}

/// A running daemon.
pub(crate) struct Rig {
    daemon: Daemon,
    client: Client,
}

impl Rig {
    /// Starts a daemon on this disk.
    pub(crate) async fn start(home: &Home, life: &str, fs: Arc<dyn Fs>) -> Self {
        hauld::install_crypto();
        let mut config = Config::defaults().expect("a home directory");
        config.listen = String::new();
        config.data_dir = home.data(life);
        config.socket = config.data_dir.join("hauld.sock");
        config.download_dir = home.downloads();
        config.connections_per_job = 6;
        config.retry_wait.0 = Duration::from_millis(50);
        config.retry_wait_max.0 = Duration::from_millis(200);
        let client = Client::new(Address::Unix(config.socket.clone()), None).expect("a client");
        let daemon = Daemon::start_on(&config, Arc::new(Disks::new(fs))).await.expect("it starts");
        Self { daemon, client }
    }

    /// Starts a daemon on the real disk.
    pub(crate) async fn on_disk(home: &Home, life: &str) -> Self {
        Self::start(home, life, Arc::new(Disk)).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn stop(self) {
        self.daemon.stop().await;
    }

    pub(crate) async fn submit(&self, url: &str) -> u64 {
        self.submit_job(&SubmitJob::new(url)).await
    }

    pub(crate) async fn submit_job(&self, job: &SubmitJob) -> u64 {
        self.client.submit(job).await.expect("the job is accepted").id
    }

    pub(crate) async fn job(&self, id: u64) -> Job {
        self.client.job(id).await.expect("the job is there")
    }

    /// Waits until the job looks like this.
    pub(crate) async fn until(&self, id: u64, what: &str, mut fits: impl FnMut(&Job) -> bool) -> Job {
        let mut last = None;
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            let job = self.job(id).await;
            if fits(&job) {
                return job;
            }
            last = Some(job);
            tokio::time::sleep(POLL).await;
        }
        panic!("not within {DEADLINE:?}: {what}: {last:?}");
    }

    pub(crate) async fn ended(&self, id: u64) -> Job {
        self.until(id, "it ends", |job| job.state.is_ended()).await
    }

    pub(crate) async fn completed(&self, id: u64) -> Job {
        let job = self.ended(id).await;
        assert_eq!(job.state, JobState::Completed, "{job:?}");
        assert_eq!(job.total_bytes, Some(job.done_bytes), "{job:?}");
        assert_eq!(job.done_bytes, job.durable_bytes, "{job:?}");
        job
    }
}

/// Lets everything go on when a test ends, however it ends: nobody could wait for threads that hang.
pub(crate) struct Released(pub(crate) Arc<FaultyFs>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Waits until `look` is true.
pub(crate) async fn wait_until(what: &str, look: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !look() {
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Asserts that a file holds exactly this content.
pub(crate) fn assert_holds(path: &Path, content: &Content, what: &str) {
    let found = fs::read(path).unwrap_or_else(|error| panic!("{what}: {}: {error}", path.display()));
    let wanted = content.bytes();
    assert_eq!(found.len(), wanted.len(), "{what}: the length of {}", path.display());
    let differs = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
    assert_eq!(differs, None, "{what}: the first wrong byte of {}", path.display());
}

/// Says something that the test's output shows.
#[expect(clippy::print_stdout, reason = "the harness shows it with the test that failed")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
