//! The watch folder: files that are dropped there are submitted once, and then called `NAME.added` or `NAME.failed`.
//!
//! | extension | holds |
//! | --- | --- |
//! | `txt` | a list of URLs ([`crate::input`]) |
//! | `url` | a link that was dragged out of a browser |
//! | `meta4`, `metalink` | a Metalink |
//! | `curl` | a command line of curl |
//!
//! Every look goes over the whole directory, so it does not matter which changes were told: being told only brings the next
//! look nearer. Whoever drops a file acts as the owner of the daemon.

mod changes;
mod drop;
mod read;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haul_api::ProblemCode;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::access::Caller;
use crate::api::{self, Api};
use crate::config::{ConfigError, watch_in_root};
use crate::submit::Roots;

use changes::Changes;
use drop::Dropped;

/// How long a file must not have changed before it is read. A guess: longer than between two writes of a copy.
const SETTLE: Duration = Duration::from_secs(1);

/// How often it is looked although nobody tells of changes, which network file systems do not. A guess.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// Changes that come together are looked at together. A guess: nobody notices, and a big file makes many of them.
const GATHER: Duration = Duration::from_millis(100);

/// Makes the directory if it is missing, and answers with its real path.
///
/// # Errors
///
/// When it cannot be used. The inner error says that downloads could go there.
pub(crate) fn prepare(dir: &Path, roots: &Roots) -> io::Result<Result<PathBuf, ConfigError>> {
    std::fs::create_dir_all(dir)?;
    let real = dir.canonicalize()?;
    std::fs::read_dir(&real)?;
    Ok(match roots.holding(&real) {
        Some(root) => Err(watch_in_root(dir, root)),
        None => Ok(real),
    })
}

/// The jobs that a file with this name and these bytes asks for, or why it cannot be used.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn wanted(name: &str, bytes: &[u8]) -> Result<Vec<Result<haul_api::SubmitJob, haul_api::Problem>>, String> {
    let read::Wanted { places, jobs } = read::wanted(Path::new(name), bytes)?;
    assert_eq!(places.len(), jobs.len());
    Ok(jobs)
}

/// Watches until it is told to stop.
pub(crate) async fn run(dir: PathBuf, api: Api, stop: CancellationToken) {
    // Watched first and looked at afterwards: no change can fall between the two.
    let changes = Changes::of(&dir);
    if let Err(error) = &changes {
        warn!(%error, "changes of the watch folder are not told; it is looked at from time to time");
    }
    let mut folder = Folder { dir, stuck: HashSet::new(), is_away: false };
    loop {
        let again = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            again = Caller::OWNER.handle(folder.look(&api)) => again,
        };
        let changed = async {
            let told = match &changes {
                Ok(changes) => changes.any().await.is_ok(),
                Err(_) => false,
            };
            if !told {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = changed => {}
            () = tokio::time::sleep(if again { SETTLE } else { LOOK_PERIOD }) => {}
        }
    }
}

struct Folder {
    dir: PathBuf,
    /// Files that are done but could not be renamed. They must not be submitted at each look.
    stuck: HashSet<PathBuf>,
    is_away: bool,
}

impl Folder {
    /// Looks at all files and submits those that have settled. Answers whether there are others.
    ///
    /// # Cancel safety
    ///
    /// What has been submitted may not have been renamed yet; then it is submitted again at the next start, which finds the
    /// jobs that are there.
    async fn look(&mut self, api: &Api) -> bool {
        let dir = self.dir.clone();
        let found = tokio::task::spawn_blocking(move || drop::find(&dir)).await.expect("looking does not panic");
        let found = match found {
            Ok(found) => {
                self.is_away = false;
                found
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    warn!(%error, "the watch folder cannot be looked at");
                }
                return false;
            }
        };
        self.stuck.retain(|path| found.iter().any(|dropped| dropped.path == *path));
        let mut again = false;
        for dropped in found {
            if self.stuck.contains(&dropped.path) {
                continue;
            }
            if !dropped.has_settled(SETTLE) {
                again = true;
                continue;
            }
            again |= !self.take(dropped, api).await;
        }
        again
    }

    /// Submits a file. Answers whether it is done with.
    async fn take(&mut self, dropped: Dropped, api: &Api) -> bool {
        let path = dropped.path.clone();
        let wanted = tokio::task::spawn_blocking(move || read::read(&path)).await.expect("reading does not panic");
        let result = match wanted {
            Ok(wanted) => match submit(wanted, api).await {
                Some(result) => result,
                None => return false,
            },
            Err(reason) => Err(reason),
        };
        let name = dropped.name();
        match &result {
            Ok(jobs) => info!(file = ?name, jobs, "added what was dropped into the watch folder"),
            Err(reason) => warn!(file = ?name, reason = reason.lines().next(), "cannot add what was dropped there"),
        }
        let path = dropped.path.clone();
        let marked = tokio::task::spawn_blocking(move || dropped.mark(result.map(|_| ()))).await;
        if let Err(error) = marked.expect("renaming does not panic") {
            warn!(%error, file = ?name, "a file in the watch folder cannot be renamed; it is left alone");
            self.stuck.insert(path);
        }
        true
    }
}

/// Submits jobs. Answers how many are there now, or why some are not; nothing where that is to be tried again.
async fn submit(wanted: read::Wanted, api: &Api) -> Option<Result<usize, String>> {
    let read::Wanted { places, jobs } = wanted;
    let outcomes = match api::hand_over(api, jobs).await {
        Ok(outcomes) => outcomes,
        Err(problem) => {
            if problem.known_code() != Some(ProblemCode::ShuttingDown) {
                warn!(%problem, "nothing can be submitted now; the watch folder is looked at again");
            }
            return None;
        }
    };
    let all = outcomes.len();
    let refused: Vec<_> = places
        .iter()
        .zip(outcomes)
        .filter_map(|(place, outcome)| Some(format!("{place}{}\n", outcome.err()?.detail)))
        .collect();
    Some(match refused.len() {
        0 => Ok(all),
        number => Err(format!("{} of {all} were added; the others were refused:\n{}", all - number, refused.concat())),
    })
}
