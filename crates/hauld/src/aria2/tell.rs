//! What jobs are like: one, those at work, those that wait, those that have ended, and totals.

use haul_api::JobState;
use haul_core::JobId;
use haul_store::{JobRow, Slice};
use serde_json::{Value, json};

use super::call::Session;
use super::fault::Fault;
use super::gid;
use super::params::Params;
use super::status::{Keys, Known, Status, number};
use crate::access::Caller;
use crate::api::shown;
use crate::driver::Moving;

/// Jobs that have ended, of which clients are told: the last ones, as with aria2 (`max-download-result`).
const ENDED_MAX: u64 = 1000;

/// Jobs of one list at most.
const LIST_MAX: u64 = 10_000;

impl Session<'_> {
    /// The job that the first parameter names.
    pub(super) async fn job(&mut self, params: &Params) -> Result<Known, Fault> {
        self.spend(1)?;
        let (gid, row) = gid::find(&self.api.store, params.text(0)?).await?;
        let job = shown(self.api, std::slice::from_ref(&row)).await?.pop().expect("one job for one row");
        Ok(Known { gid, row, job })
    }

    pub(super) async fn tell_status(&mut self, params: &Params) -> Result<Value, Fault> {
        let keys = Keys::of(params.optional_list(1)?);
        let known = self.job(params).await?;
        let chunks = match keys.has("bitfield") {
            true => Some(self.api.store.chunks(known.row.id).await?),
            false => None,
        };
        Ok(known.told(&keys, chunks.as_deref()))
    }

    pub(super) async fn tell_active(&mut self, params: &Params) -> Result<Value, Fault> {
        let keys = Keys::of(params.optional_list(0)?);
        let mut rows = self.api.store.jobs_of(self.ids_at_work().await?).await?;
        rows.retain(|row| Caller::current().sees(row));
        let known = self.known(rows).await?;
        Ok(told(known, &keys, |status| status == Status::Active))
    }

    pub(super) async fn tell_waiting(&mut self, params: &Params) -> Result<Value, Fault> {
        let (offset, num) = (params.integer(0)?, params.integer(1)?);
        let keys = Keys::of(params.optional_list(2)?);
        let at_work = self.ids_at_work().await?;
        let token = Caller::current().only_of();
        let count = match offset {
            // Only from the end it matters where that is.
            ..0 => self.api.store.backlog(at_work.clone(), token).await?.waiting,
            0.. => u64::MAX,
        };
        let Some(part) = Part::of(offset, num, count) else { return Ok(json!([])) };
        let slice = Slice { skip: part.skip.min(i64::MAX as u64), limit: part.limit };
        let mut rows = self.api.store.waiting_jobs(at_work, token, slice).await?;
        if part.is_reversed {
            rows.reverse();
        }
        let known = self.known(rows).await?;
        Ok(told(known, &keys, |status| matches!(status, Status::Waiting | Status::Paused)))
    }

    pub(super) async fn tell_stopped(&mut self, params: &Params) -> Result<Value, Fault> {
        let (offset, num) = (params.integer(0)?, params.integer(1)?);
        let keys = Keys::of(params.optional_list(2)?);
        let token = Caller::current().only_of();
        let count = self.api.store.backlog(Vec::new(), token).await?.ended.min(ENDED_MAX);
        let Some(part) = Part::of(offset, num, count) else { return Ok(json!([])) };
        // The store begins with the last one, and a list with the first.
        let slice = Slice { skip: count - part.skip - part.limit, limit: part.limit };
        let mut rows = self.api.store.ended_jobs(token, slice).await?;
        if !part.is_reversed {
            rows.reverse();
        }
        let known = self.known(rows).await?;
        Ok(told(known, &keys, Status::is_stopped))
    }

    pub(super) async fn uris(&mut self, params: &Params) -> Result<Value, Fault> {
        Ok(self.job(params).await?.uris())
    }

    pub(super) async fn files(&mut self, params: &Params) -> Result<Value, Fault> {
        Ok(self.job(params).await?.files())
    }

    pub(super) async fn servers(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        match known.status() {
            Status::Active => Ok(known.servers()),
            Status::Waiting | Status::Paused | Status::Error | Status::Complete | Status::Removed => {
                Err(Fault::new(format!("No active download for GID#{}", known.gid)))
            }
        }
    }

    /// There are none: nobody else gets what is here.
    pub(super) async fn peers(&mut self, params: &Params) -> Result<Value, Fault> {
        self.job(params).await.map(|_| json!([]))
    }

    pub(super) async fn statistics(&mut self) -> Result<Value, Fault> {
        let at_work = self.at_work().await?;
        let ids = at_work.iter().map(|moving| JobId(moving.progress.id)).collect();
        let backlog = self.api.store.backlog(ids, Caller::current().only_of()).await?;
        let sum = |of: &dyn Fn(&Moving) -> u64| at_work.iter().map(of).sum::<u64>();
        let (done, total) = (
            sum(&|moving| moving.progress.total_bytes.map_or(0, |_| moving.progress.done_bytes)),
            sum(&|moving| moving.progress.total_bytes.unwrap_or(0)),
        );
        Ok(json!({
            "downloadSpeed": number(sum(&|moving| moving.progress.speed)),
            "uploadSpeed": number(0),
            "numActive": number(at_work.len() as u64),
            "numWaiting": number(backlog.waiting),
            "numStopped": number(backlog.ended.min(ENDED_MAX)),
            "numStoppedTotal": number(backlog.ended),
            // One client draws it, and takes no text for it.
            "percentActive": u128::from(done) * 100 / u128::from(total.max(1)),
        }))
    }

    /// The jobs that are at work, whoever may see them.
    pub(super) async fn ids_at_work(&self) -> Result<Vec<JobId>, Fault> {
        use haul_core::JobState::{Active, Probing, Verifying};
        let busy = self.api.driver.busy().await?.into_iter();
        Ok(busy.filter(|(_, state)| matches!(state, Probing | Active | Verifying)).map(|(id, _)| id).collect())
    }

    /// How far those are that the caller may see.
    async fn at_work(&self) -> Result<Vec<Moving>, Fault> {
        let only_of = Caller::current().only_of();
        let mut moving = self.api.driver.progress().await?;
        moving.retain(|moving| {
            matches!(moving.progress.state, JobState::Probing | JobState::Active | JobState::Verifying)
                && only_of.is_none_or(|token| moving.token == Some(token))
        });
        Ok(moving)
    }

    async fn known(&mut self, rows: Vec<JobRow>) -> Result<Vec<Known>, Fault> {
        self.spend(rows.len())?;
        let names = gid::names(&self.api.store, rows.iter().map(|row| row.id).collect()).await?;
        let jobs = shown(self.api, &rows).await?;
        let known = rows.into_iter().zip(jobs).map(|(row, job)| {
            let gid = names.get(&row.id).cloned().unwrap_or_default();
            Known { gid, row, job }
        });
        Ok(known.collect())
    }
}

/// Some may have come to another list since it was found out which belong to this one.
fn told(known: Vec<Known>, keys: &Keys, belongs: impl Fn(Status) -> bool) -> Value {
    known.iter().filter(|known| belongs(known.status())).map(|known| known.told(keys, None)).collect()
}

/// The part of a list that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    skip: u64,
    limit: u64,
    is_reversed: bool,
}

impl Part {
    /// Of `count` jobs: an offset below 0 counts from the end, and goes backwards from there.
    fn of(offset: i64, num: i64, count: u64) -> Option<Self> {
        let num = u64::try_from(num).ok().filter(|num| *num > 0)?.min(LIST_MAX);
        let (first, last, is_reversed) = match u64::try_from(offset) {
            Ok(skip) => (skip, skip.saturating_add(num).min(count), false),
            Err(_) => {
                let end = count.checked_sub(offset.unsigned_abs() - 1)?;
                (end.saturating_sub(num), end, true)
            }
        };
        (first < last).then(|| Self { skip: first, limit: last - first, is_reversed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_as_aria2_does() {
        let of = |offset, num, count| {
            let part = Part::of(offset, num, count);
            part.map(|part| (part.skip, part.limit, part.is_reversed))
        };
        assert_eq!(of(0, 1000, 3), Some((0, 3, false)));
        assert_eq!(of(1, 1, 3), Some((1, 1, false)));
        assert_eq!(of(3, 1, 3), None);
        assert_eq!(of(0, 0, 3), None);
        assert_eq!(of(0, -1, 3), None);
        assert_eq!(of(-1, 1000, 3), Some((0, 3, true)));
        assert_eq!(of(-1, 2, 3), Some((1, 2, true)), "the last two, the last one first");
        assert_eq!(of(-3, 2, 3), Some((0, 1, true)));
        assert_eq!(of(-4, 2, 3), None);
        for wild in [i64::MIN, i64::MAX] {
            assert_eq!(of(wild, i64::MAX, 3), None);
            assert_eq!(of(0, wild, 0), None);
        }
        assert_eq!(of(0, i64::MAX, u64::MAX), Some((0, LIST_MAX, false)));
    }
}
