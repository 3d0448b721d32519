//! The process: start, watch, kill.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use haul_api::{Address, Client, ClientError, Job, JobState, OnDuplicate, Problem, SubmitJob};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{Answer, DEADLINE, Home, wait_until};

/// A running daemon. When it is dropped the process is killed and its log must be free of errors.
pub(crate) struct Daemon {
    home: Home,
    child: Option<Child>,
    client: Client,
    /// Where the log of this run begins.
    log_from: usize,
    tcp: Option<SocketAddr>,
    /// What `error!` lines may be about, if there may be any.
    tolerated: Option<&'static str>,
    /// The limit on open files, if it is not the usual one.
    descriptors: Option<u64>,
    /// Variables that it gets beside the usual ones.
    environment: Vec<(&'static str, String)>,
}

impl Daemon {
    /// A daemon with the usual settings.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A daemon with these lines in its configuration.
    pub(crate) async fn with(settings: &str) -> Self {
        Self::at(Home::new(settings)).await
    }

    /// A daemon in a home that is there already.
    pub(crate) async fn at(home: Home) -> Self {
        Self::limited(home, None, &[]).await
    }

    /// A daemon with these variables in its environment.
    pub(crate) async fn at_with_environment(home: Home, environment: &[(&'static str, String)]) -> Self {
        Self::limited(home, None, environment).await
    }

    /// A daemon that may have so many files open.
    pub(crate) async fn at_with_descriptors(home: Home, descriptors: u64) -> Self {
        Self::limited(home, Some(descriptors), &[]).await
    }

    async fn limited(home: Home, descriptors: Option<u64>, environment: &[(&'static str, String)]) -> Self {
        hauld::install_crypto();
        let client = Client::new(Address::Unix(home.socket()), None).expect("a client");
        let environment = environment.to_vec();
        let mut daemon =
            Self { home, child: None, client, log_from: 0, tcp: None, tolerated: None, descriptors, environment };
        daemon.restart().await;
        daemon
    }

    /// Lets the log have errors in whose lines this text stands.
    pub(crate) fn tolerate(&mut self, text: &'static str) {
        self.tolerated = Some(text);
    }

    /// Starts the process again on the same data and waits until it says that it is ready. Asks nothing of the API.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "the process still runs");
        self.log_from = self.whole_log().len();
        // A kept connection to the process that is gone would fail the first request.
        self.client = Client::new(Address::Unix(self.home.socket()), None).expect("a client");
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a writable file");
        let mut command = self.home.command();
        command.envs(self.environment.iter().cloned()).stderr(Stdio::from(log));
        let child = command.spawn().expect("the program can be started");
        if let Some(files) = self.descriptors {
            let limit = Rlimit { current: Some(files), maximum: Some(files) };
            prlimit(Some(Pid::from_child(&child)), Resource::Nofile, limit).expect("a lower limit is permitted");
        }
        self.child = Some(child);
        let ready = wait_until("the daemon says that it is ready", async || {
            let ended = self.child.as_mut().expect("it was just started").try_wait().expect("a child");
            assert!(ended.is_none(), "the daemon ended: {}", self.log());
            self.log().lines().find(|line| line.contains(" ready listen=")).map(str::to_owned)
        });
        let ready = ready.await;
        let address = ready.split("listen=Some(").nth(1).and_then(|rest| rest.split(')').next());
        self.tcp = address.map(|address| address.parse().expect("an address"));
    }

    /// Lets no file of the daemon grow beyond this size.
    pub(crate) fn limit_file_size(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        let pid = Pid::from_child(self.child.as_ref().expect("the process runs"));
        prlimit(Some(pid), Resource::Fsize, limit).expect("a lower limit is permitted");
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The home of a daemon that has been stopped, for another one.
    pub(crate) fn into_home(mut self) -> Home {
        assert!(self.child.is_none(), "the process still runs");
        std::mem::replace(&mut self.home, Home::new(""))
    }

    /// The typed client, over the Unix socket.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        self.tcp.expect("it listens on TCP")
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.home.path().join("hauld.log")
    }

    /// The log of all runs.
    pub(crate) fn whole_log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The log of this run.
    pub(crate) fn log(&self) -> String {
        self.whole_log().split_off(self.log_from)
    }

    /// Sends a request over TCP as it is.
    pub(crate) fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        Answer::to(self.tcp(), request.as_ref())
    }

    /// Submits a URL with every default.
    pub(crate) async fn submit(&self, url: &str) -> u64 {
        self.submit_job(&SubmitJob::new(url)).await
    }

    /// Submits a job, which is another one each time unless it says otherwise.
    pub(crate) async fn submit_job(&self, job: &SubmitJob) -> u64 {
        let on_duplicate = job.on_duplicate.or(Some(OnDuplicate::Copy));
        self.client.submit(&SubmitJob { on_duplicate, ..job.clone() }).await.expect("the job is accepted").id
    }

    pub(crate) async fn job(&self, id: u64) -> Job {
        self.client.job(id).await.expect("the job is there")
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, id: u64) -> Job {
        let job = self.client.wait(id, DEADLINE.as_secs(), None).await.expect("the job is there");
        assert!(job.state.is_ended(), "the job has not ended: {job:?}");
        job
    }

    pub(crate) async fn completed(&self, id: u64) -> Job {
        let job = self.ended(id).await;
        assert_eq!(job.state, JobState::Completed, "{job:?}");
        assert_eq!(job.total_bytes, Some(job.done_bytes), "{job:?}");
        assert_eq!(job.done_bytes, job.durable_bytes, "{job:?}");
        assert_eq!(job.chunks.done, job.chunks.total, "{job:?}");
        assert_eq!(job.reason, None, "{job:?}");
        job
    }

    /// Waits until the job has failed, and tells why.
    pub(crate) async fn failed(&self, id: u64) -> haul_api::Reason {
        let job = self.ended(id).await;
        assert_eq!(job.state, JobState::Failed, "{job:?}");
        job.reason.expect("a failed job says why")
    }

    /// Waits until the job looks like this.
    pub(crate) async fn until(&self, id: u64, what: &str, fits: impl Fn(&Job) -> bool) -> Job {
        wait_until(what, async || {
            let job = self.job(id).await;
            assert!(fits(&job) || !job.state.is_ended(), "{what}: {job:?}");
            Some(job).filter(&fits)
        })
        .await
    }

    /// Kills the process without any warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the process runs");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Asks the process to stop and tells how it ended and how long that took.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let mut child = self.child.take().expect("the process runs");
        let pid = Pid::from_child(&child);
        let asked = Instant::now();
        kill_process(pid, Signal::TERM).expect("it is our child");
        let status = child.wait().expect("it is our child");
        (status, asked.elapsed())
    }

    /// Waits until the process has ended by itself and tells how it ended and how long that took.
    pub(crate) async fn ended_by_itself(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let ended = wait_until("the process ends", async || {
            self.child.as_mut().expect("the process runs").try_wait().expect("it is our child")
        });
        let status = ended.await;
        self.child = None;
        (status, begun.elapsed())
    }

    /// The number of the process.
    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().expect("the process runs").id()
    }

    fn assert_clean(&self) {
        let log = self.whole_log();
        for line in log.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked at")) {
            let tolerated = self.tolerated.is_some_and(|text| line.contains(text));
            assert!(tolerated, "an error in the log: {line}");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            show_end_of(&self.whole_log());
        } else {
            self.assert_clean();
        }
    }
}

fn show_end_of(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let shown = lines[lines.len().saturating_sub(60)..].join("\n");
    // Where even this fails there is nobody to tell.
    writeln!(io::stdout(), "--- the end of the daemon's log\n{shown}\n---").ok();
    if let Some(dir) = std::env::var_os("TEST_LOGS") {
        let path = std::path::Path::new(&dir).join(format!("hauld-{}.log", std::process::id()));
        File::create(path).and_then(|mut file| file.write_all(log.as_bytes())).ok();
    }
}

/// The refusal of a request that was expected to be refused.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Problem {
    match result {
        Err(ClientError::Problem(problem)) => problem,
        other => panic!("not refused: {other:?}"),
    }
}
