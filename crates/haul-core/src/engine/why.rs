//! What holds a job back: the question that every user asks sooner or later.

use crate::messages::Why;
use crate::{ChunkState, JobState, Time};

use super::Engine;
use super::job::{Job, Stage};
use super::mirror::Standing;
use super::steal::median;

/// Silence that is worth a word.
const SILENT_FROM: std::time::Duration = std::time::Duration::from_secs(1);

impl Engine {
    /// The reasons, the weightiest first.
    pub(super) fn reasons(&self, now: Time, job: &Job) -> Vec<Why> {
        match &job.stage {
            Stage::Queued => {
                let (queue, rank) = (job.tuning.queue, job.rank());
                match self.queues.rule(queue).active_max {
                    Some(max) if self.active_in(queue) >= max => {
                        vec![Why::QueueFull { max, ahead: self.queues.ahead_in(queue, &rank) }]
                    }
                    Some(_) | None => {
                        vec![Why::NoSlot { active: self.running.len(), ahead: self.queues.ahead(&rank) }]
                    }
                }
            }
            Stage::Waiting { until, waiting_for } => {
                let retry_in = until.map(|until| until.since(now));
                vec![Why::Waits { waiting_for: *waiting_for, retry_in, fault: self.explanation(job) }]
            }
            Stage::Running => self.reasons_while_running(now, job),
            Stage::Ending(_) | Stage::Resetting { .. } | Stage::Sealing { .. } => Vec::new(),
        }
    }

    fn reasons_while_running(&self, now: Time, job: &Job) -> Vec<Why> {
        let mut reasons = Vec::new();
        reasons.extend(self.hosts_that_hold_back(now, job));
        if job.workers.iter().any(|id| self.workers[id].is_throttled(now)) {
            reasons.push(Why::Limited);
        }
        if job.accepts_ranges == Some(false) {
            reasons.push(Why::SingleConnection);
        }
        reasons.extend(self.cap_in_force(job));
        reasons.extend(self.silence(now, job));
        reasons.extend(self.exempt_chunks(now, job));
        reasons.extend(self.held_back(now, job));
        reasons.extend(self.speed_of_each(now, job));
        let dropped = job.mirrors().filter(|(_, mirror)| mirror.standing == Standing::Dropped);
        reasons.extend(dropped.filter_map(|(index, mirror)| {
            mirror.fault.clone().map(|fault| Why::MirrorDropped { mirror: index, fault })
        }));
        reasons
    }

    fn hosts_that_hold_back(&self, now: Time, job: &Job) -> Vec<Why> {
        let mut reasons = Vec::new();
        for (_, mirror) in job.mirrors().filter(|(_, mirror)| mirror.standing != Standing::Dropped) {
            let host = self.hosts.get(mirror.host);
            let memory = host.memory(now);
            let room = host.active < host.cap(&self.policy);
            let max = memory.connections_max.unwrap_or(self.policy.connections_per_host);
            let (name, fault) = (host.name.clone(), host.fault.clone());
            if let Some(until) = host.blocked_until(now) {
                reasons.push(Why::HostWaits { host: name, wait: until.since(now), fault });
            } else if let Some(cap) = memory.cap.filter(|cap| !room && *cap < max) {
                let (active, refusals, holds) = (host.active, memory.refusals, memory.cap_holds);
                reasons.push(Why::HostCap { host: name, cap, active, refusals, holds, fault });
            } else if !room && job.connections() < job.connections_wanted(&self.policy) {
                reasons.push(Why::HostFull { host: name, max });
            }
        }
        reasons
    }

    fn cap_in_force(&self, job: &Job) -> Option<Why> {
        let (used, max) = (job.connections(), job.connections_max(&self.policy));
        if job.is_single() {
            None
        } else if used >= max {
            Some(Why::JobCap { max })
        } else if used >= job.connections_wanted(&self.policy) && job.ramp.has_gone_back() {
            Some(Why::NoGain { useful: used })
        } else if self.workers.len() >= self.policy.connections_total as usize {
            Some(Why::TotalFull { max: self.policy.connections_total })
        } else {
            None
        }
    }

    fn silence(&self, now: Time, job: &Job) -> Option<Why> {
        let last = job.workers.iter().map(|id| self.workers[id].moved_at).max()?;
        let since = now.since(last);
        (since >= SILENT_FROM && job.state() == JobState::Active).then_some(Why::Silent { since })
    }

    fn exempt_chunks(&self, now: Time, job: &Job) -> Vec<Why> {
        let Some(ledger) = &job.ledger else { return Vec::new() };
        let workers = job.workers.iter().map(|id| &self.workers[id]);
        workers
            .filter_map(|worker| {
                let chunk = ledger.chunk_at(worker.at).filter(|chunk| chunk.strikes >= self.policy.strikes_max)?;
                let bytes_per_second = whole(worker.meter.bytes_per_second(now));
                Some(Why::ExemptChunk { chunk: chunk.range.start, strikes: chunk.strikes, bytes_per_second })
            })
            .collect()
    }

    fn held_back(&self, now: Time, job: &Job) -> Option<Why> {
        let ledger = job.ledger.as_ref()?;
        let retry_in = ledger.next_backoff()?.since(now);
        let chunks = ledger.chunks().filter(|chunk| matches!(chunk.state, ChunkState::Backoff(_))).count();
        Some(Why::Backoff { chunks, retry_in })
    }

    fn speed_of_each(&self, now: Time, job: &Job) -> Option<Why> {
        let speeds = job.workers.iter().filter_map(|id| self.workers[id].speed(now, super::worker::WINDOW));
        let speed = median(speeds.collect())?;
        Some(Why::PerConnection { bytes_per_second: whole(speed), connections: job.connections() })
    }
}

fn whole(speed: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "speeds are small and positive")]
    let speed = speed as u64;
    speed
}
