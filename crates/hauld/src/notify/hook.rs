//! Telling by running a program.
//!
//! It gets the payload on its standard input. It is run once for each event, whatever its exit code: what a program has
//! done half nobody can know. Only where the daemon ends meanwhile, or the program could not be started, is it run again.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use haul_store::JobEvent;
use haul_transfer::Escaped;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tracing::{debug, warn};

use super::Outcome;

/// Variables that a program gets, if the daemon has them. All others may be secret.
const VARIABLES: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Bytes of each output that are logged; the rest is read and forgotten. A guess.
const OUTPUT_MAX: usize = 16 << 10;

/// How long outputs are read after the program has ended: something that it has started may hold them open for ever.
const OUTPUT_WITHIN: Duration = Duration::from_secs(1);

/// A program that is run for events.
#[derive(Clone)]
pub(crate) struct Hook {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Duration,
}

/// Ends a program with everything that it has started, unless that is taken back.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // One that has just ended is as good.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

impl Hook {
    /// Runs the program for an event. When this is dropped the program is killed with all that it has started.
    pub(super) async fn tell(&self, name: &str, event: &JobEvent, body: Vec<u8>) -> Outcome {
        let (job, event) = (event.job.0, event.id);
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => return Outcome::Failed(format!("the program cannot be started: {error}")),
        };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut group = Group(pid);
        let ended = tokio::time::timeout(self.timeout, run(name, &mut child, &mut group, body)).await;
        match ended {
            Ok(Ok(status)) if status.success() => debug!(hook = name, job, event, "a hook was run"),
            Ok(Ok(status)) => warn!(hook = name, job, event, %status, "a hook has failed; it is not repeated"),
            Ok(Err(error)) => warn!(hook = name, job, event, %error, "a hook cannot be waited for"),
            Err(_) => {
                let timeout = self.timeout;
                warn!(hook = name, job, event, ?timeout, "a hook took too long and is killed; it is not repeated");
            }
        }
        Outcome::Told
    }

    fn start(&self) -> std::io::Result<Child> {
        let kept = VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .env_clear()
            .envs(kept)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

async fn run(name: &str, child: &mut Child, group: &mut Group, body: Vec<u8>) -> std::io::Result<ExitStatus> {
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let (stdout, stderr) = (child.stdout.take().expect("it is a pipe"), child.stderr.take().expect("it is a pipe"));
    let feed = async move {
        // A program need not read what it is told.
        stdin.write_all(&body).await.ok();
    };
    let outputs = async { tokio::join!(log_output(name, "stdout", stdout), log_output(name, "stderr", stderr)) };
    tokio::pin!(feed, outputs);
    let (mut fed, mut read) = (false, false);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = &mut feed, if !fed => fed = true,
            _ = &mut outputs, if !read => read = true,
        }
    };
    // From now on its number may be another's.
    group.0 = None;
    if !read && tokio::time::timeout(OUTPUT_WITHIN, outputs).await.is_err() {
        debug!(hook = name, "something that a hook has started goes on");
    }
    Ok(status)
}

/// Logs the lines of an output as they come, up to a limit, and reads it to its end.
async fn log_output(name: &str, which: &str, mut output: impl AsyncRead + Unpin) {
    let (mut buffer, mut line, mut left) = ([0; 4096], Vec::new(), OUTPUT_MAX);
    let log = |line: &[u8]| debug!(hook = name, which, "a hook says: {}", Escaped(line));
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let taken = read.min(left);
        left -= taken;
        for &byte in &buffer[..taken] {
            if byte == b'\n' {
                log(&line);
                line.clear();
            } else {
                line.push(byte);
            }
        }
    }
    if !line.is_empty() {
        log(&line);
    }
}
