//! The life of a job as it is stored: how far the work is, and what the user wants.
//!
//! | action | fetching | verifying | failed | completed | canceled |
//! | --- | --- | --- | --- | --- | --- |
//! | pause | pause | - | refused | refused | refused |
//! | resume | run, now | - | refused | refused | refused |
//! | retry | run, now | - | fetching, run | refused | refused |
//! | cancel | canceled | refused | canceled | refused | - |
//!
//! `-` means accepted without a change. The two questions are independent, so they are two enums, and the one word
//! that a client sees is computed from them and from what the engine is doing ([`JobState`]).

use std::fmt;

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Bytes are missing.
    Fetching,
    /// All bytes are there; the file is being checked, synced and sealed.
    Verifying,
    /// The file stands, verified, under its final name.
    Completed,
    /// Ended with a permanent reason; the bytes are kept.
    Failed,
    /// The user gave it up.
    Canceled,
}

/// What the user wants, whatever the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// The job shall make progress.
    Run,
    /// The job shall rest until it is resumed.
    Pause,
}

/// What a user can ask of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Rest until resumed.
    Pause,
    /// Go on; a job that waits tries now.
    Resume,
    /// Start a failed job again from the bytes it has.
    Retry,
    /// Give it up and remove its partial bytes.
    Cancel,
}

/// Phase and intent together: the stored half of a job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    /// How far the work is.
    pub phase: Phase,
    /// What the user wants.
    pub intent: Intent,
}

/// Whether a command changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Yes,
    /// All was as asked already.
    No,
}

/// Why an action was refused. The caller can always tell what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No job has this id.
    UnknownJob,
    /// The job has ended and this action does not bring it back.
    JobEnded(Phase),
    /// All bytes are there and the file is about to be sealed.
    Verifying,
}

impl Lifecycle {
    /// A job that has just been accepted.
    #[must_use]
    pub const fn accepted(intent: Intent) -> Self {
        Self { phase: Phase::Fetching, intent }
    }

    /// Carries out `action`. Asking twice is the same as asking once.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the phase in the way.
    pub fn apply(&mut self, action: Action) -> Result<Changed, Refusal> {
        let before = *self;
        match (action, self.phase) {
            (Action::Pause, Phase::Fetching) => self.intent = Intent::Pause,
            (Action::Resume | Action::Retry, Phase::Fetching) => self.intent = Intent::Run,
            (Action::Pause | Action::Resume | Action::Retry, Phase::Verifying) | (Action::Cancel, Phase::Canceled) => {}
            (Action::Retry, Phase::Failed) => *self = Self::accepted(Intent::Run),
            (Action::Cancel, Phase::Fetching | Phase::Failed) => self.phase = Phase::Canceled,
            (Action::Cancel, Phase::Verifying) => return Err(Refusal::Verifying),
            (Action::Pause | Action::Resume, Phase::Failed | Phase::Completed | Phase::Canceled)
            | (Action::Retry, Phase::Completed | Phase::Canceled)
            | (Action::Cancel, Phase::Completed) => return Err(Refusal::JobEnded(self.phase)),
        }
        Ok(if before == *self { Changed::No } else { Changed::Yes })
    }

    /// Tells whether the engine should be working on this job.
    #[must_use]
    pub const fn wants_to_run(self) -> bool {
        match self.phase {
            Phase::Fetching => matches!(self.intent, Intent::Run),
            Phase::Verifying => true,
            Phase::Completed | Phase::Failed | Phase::Canceled => false,
        }
    }
}

/// The one word that a client sees of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for a slot.
    Queued,
    /// The first request is under way.
    Probing,
    /// Ranges are being fetched.
    Active,
    /// Cannot go on now.
    Waiting(WaitingFor),
    /// The user asked for a rest.
    Paused,
    /// All bytes are there.
    Verifying,
    /// Verified and sealed.
    Completed,
    /// Ended with a permanent reason.
    Failed,
    /// Given up by the user.
    Canceled,
}

/// What a waiting job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitingFor {
    /// The next attempt.
    Retry,
    /// Space on the disk.
    Disk,
    /// A network: this machine has none, and every job waits for it.
    Network,
    /// The host, which asked us to stay away or does not answer.
    Host,
    /// Its time: the queue that it is in is closed.
    Schedule,
    /// A renewed link, from a person.
    Link,
    /// The volume with the target directory.
    Volume,
}

impl WaitingFor {
    /// Tells whether the target's disk must be looked at before anything goes on.
    #[must_use]
    pub const fn is_the_disk(self) -> bool {
        match self {
            Self::Disk | Self::Volume => true,
            Self::Retry | Self::Host | Self::Schedule | Self::Link | Self::Network => false,
        }
    }
}

impl JobState {
    /// The state of a job that the engine does not hold, or, with `live`, of one that it does.
    #[must_use]
    pub const fn shown(stored: Lifecycle, live: Option<Self>) -> Self {
        match stored.phase {
            Phase::Completed => Self::Completed,
            Phase::Failed => Self::Failed,
            Phase::Canceled => Self::Canceled,
            Phase::Verifying => Self::Verifying,
            Phase::Fetching => match (stored.intent, live) {
                (Intent::Pause, _) => Self::Paused,
                (Intent::Run, Some(live)) => live,
                (Intent::Run, None) => Self::Queued,
            },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownJob => f.write_str("no job has this id"),
            Self::JobEnded(Phase::Failed) => {
                f.write_str("the job has failed; `retry` starts it again from the bytes it has")
            }
            Self::JobEnded(Phase::Completed) => f.write_str("the job is complete; its file is in place"),
            Self::JobEnded(Phase::Fetching | Phase::Verifying | Phase::Canceled) => {
                f.write_str("the job was canceled; submit the URL again")
            }
            Self::Verifying => {
                f.write_str("all bytes are there and the file is being sealed; delete the job when it is complete")
            }
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 4] = [Action::Pause, Action::Resume, Action::Retry, Action::Cancel];
    const PHASES: [Phase; 5] = [Phase::Fetching, Phase::Verifying, Phase::Completed, Phase::Failed, Phase::Canceled];

    #[test]
    fn asking_twice_is_the_same_as_asking_once() {
        for phase in PHASES {
            for intent in [Intent::Run, Intent::Pause] {
                for action in ACTIONS {
                    let mut once = Lifecycle { phase, intent };
                    if once.apply(action).is_err() {
                        continue;
                    }
                    let mut twice = once;
                    assert_eq!(twice.apply(action), Ok(Changed::No), "{action:?} in {phase:?}");
                    assert_eq!(once, twice);
                }
            }
        }
    }

    #[test]
    fn a_refused_action_changes_nothing() {
        for phase in PHASES {
            for action in ACTIONS {
                let before = Lifecycle { phase, intent: Intent::Run };
                let mut after = before;
                if after.apply(action).is_err() {
                    assert_eq!(before, after);
                }
            }
        }
    }

    #[test]
    fn a_failed_job_runs_again_after_retry_even_when_it_was_paused() {
        let mut job = Lifecycle { phase: Phase::Failed, intent: Intent::Pause };
        assert_eq!(job.apply(Action::Resume), Err(Refusal::JobEnded(Phase::Failed)));
        assert_eq!(job.apply(Action::Retry), Ok(Changed::Yes));
        assert!(job.wants_to_run());
    }

    #[test]
    fn pausing_does_not_stop_a_file_from_being_sealed() {
        let mut job = Lifecycle { phase: Phase::Verifying, intent: Intent::Run };
        assert_eq!(job.apply(Action::Pause), Ok(Changed::No));
        assert_eq!(JobState::shown(job, None), JobState::Verifying);
        assert!(job.wants_to_run());
    }
}
