//! What is done with jobs that are there.

use std::collections::BTreeMap;

use haul_api::{JobState, PatchJob, WaitingFor};
use haul_core::messages::place_between;
use haul_core::{Action, Intent, JobId, Phase};
use haul_store::{Filter, JobPatch, Scope, StateFilter, Waiting};
use serde_json::{Value, json};
use url::Url;

use super::call::Session;
use super::fault::Fault;
use super::methods::ok;
use super::options::Given;
use super::params::Params;
use super::secret::Secrets;
use super::status::{Known, Status};
use crate::access::Caller;
use crate::api::beyond_scope;
use crate::driver::DriverError;
use crate::submit;

/// Options of a job that can be changed later, beside its headers.
const CHANGEABLE: [&str; 5] = ["max-download-limit", "split", "max-connection-per-server", "out", "header"];

/// Options of a job that count from its start on, and cannot be changed later.
const FIXED: [&str; 8] =
    ["dir", "checksum", "all-proxy", "http-proxy", "https-proxy", "no-proxy", "referer", "user-agent"];

impl Session<'_> {
    pub(super) async fn pause(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        let refused = || Fault::new(format!("GID#{} cannot be paused now", known.gid));
        match known.status() {
            Status::Active | Status::Waiting if known.job.state != JobState::Verifying => {
                self.act(known.row.id, Action::Pause, refused).await?;
                Ok(json!(known.gid))
            }
            Status::Active | Status::Waiting | Status::Paused | Status::Error | Status::Complete | Status::Removed => {
                Err(refused())
            }
        }
    }

    pub(super) async fn unpause(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        let refused = || Fault::new(format!("GID#{} cannot be unpaused now", known.gid));
        if known.status() != Status::Paused {
            return Err(refused());
        }
        self.act(known.row.id, Action::Resume, refused).await?;
        Ok(json!(known.gid))
    }

    pub(super) async fn pause_all(&self) -> Result<Value, Fault> {
        self.act_all(Action::Pause, Intent::Run).await
    }

    pub(super) async fn unpause_all(&self) -> Result<Value, Fault> {
        self.act_all(Action::Resume, Intent::Pause).await
    }

    /// Gives a job up. One that is at work is told of among those that have ended, another one is not. No finished file is
    /// removed by that.
    pub(super) async fn remove(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        let id = known.row.id;
        let refused = || Fault::new(format!("Active Download not found for GID#{}", known.gid));
        match known.status() {
            Status::Active => self.act(id, Action::Cancel, refused).await?,
            Status::Waiting | Status::Paused => self.api.driver.delete(id, false, None).await?,
            Status::Error | Status::Complete | Status::Removed => return Err(refused()),
        }
        Ok(json!(known.gid))
    }

    /// Forgets a job that has ended.
    pub(super) async fn forget(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        if !known.status().is_stopped() {
            return Err(Fault::new(format!("Could not remove download result of GID#{}", known.gid)));
        }
        self.api.driver.delete(known.row.id, false, None).await?;
        Ok(ok())
    }

    /// Forgets all jobs that have ended.
    pub(super) async fn purge(&self) -> Result<Value, Fault> {
        self.api.driver.forget_ended().await?;
        Ok(ok())
    }

    /// Moves a job among those that wait, and tells where it is then.
    pub(super) async fn change_position(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        let (position, how) = (params.integer(1)?, params.text(2)?);
        let mut waiting = self.api.store.waiting_places(self.ids_at_work().await?).await?;
        let from = waiting.iter().position(|other| other.id == known.row.id);
        let last = waiting.len().saturating_sub(1);
        let origin = match how {
            "POS_SET" => Some(0),
            "POS_CUR" => from,
            "POS_END" => Some(last),
            _ => return Err(Fault::new("Illegal argument.")),
        };
        let Some((from, origin)) = from.zip(origin) else {
            return Err(Fault::new(format!("GID#{} not found in the waiting queue.", known.gid)));
        };
        let to = moved(origin, position, last);
        if to != from {
            let own = waiting.remove(from);
            let (priority, place) = between(own, to.checked_sub(1).map(|at| waiting[at]), waiting.get(to).copied());
            let patch = JobPatch { priority: Some(priority), place: place.map(Some), ..JobPatch::default() };
            self.api.driver.patch(own.id, patch, None).await?;
        }
        Ok(json!(to))
    }

    /// Gives a job further places where its file is to be had, or another one where its own is no good any more.
    pub(super) async fn change_uris(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        if params.integer(1)? != 1 {
            return Err(Fault::new("fileIndex is out of range"));
        }
        let (remove, add) = (params.texts(2)?, params.texts(3)?);
        if known.status().is_stopped() && known.status() != Status::Error {
            return Err(Fault::new(format!("Cannot change URIs of GID#{}", known.gid)));
        }
        let secrets = Secrets::named_in(&self.api.store, remove.iter().chain(&add).copied()).await?;
        let remove: Vec<String> = remove.iter().map(|uri| secrets.url(uri)).collect();
        let add: Vec<String> = add.iter().map(|uri| secrets.url(uri.trim())).collect();
        let is_own = |url: &String| Url::parse(url).is_ok_and(|url| *known.row.wish.url == *url.as_str());
        let waits_for_link = known.job.waiting_for == Some(WaitingFor::Link) || known.status() == Status::Error;
        match add.split_first() {
            Some((first, others)) if waits_for_link || remove.iter().any(is_own) => {
                self.patch(&known, PatchJob { url: Some(first.clone()), ..PatchJob::default() }).await?;
                let added = self.add_mirrors(&known, others).await?;
                Ok(json!([usize::from(remove.iter().any(is_own)), 1 + added]))
            }
            Some(_) => Ok(json!([0, self.add_mirrors(&known, &add).await?])),
            // What came from a place names it: none is taken away. One that is no good is not used any more by itself.
            None => Ok(json!([0, 0])),
        }
    }

    /// Tells how many were new.
    async fn add_mirrors(&self, known: &Known, urls: &[String]) -> Result<usize, Fault> {
        if urls.is_empty() {
            return Ok(0);
        }
        let caller = Caller::current();
        if caller.scope == Scope::Submit {
            return Err(beyond_scope(caller.scope).into());
        }
        if known.row.wish.once {
            return Err(Fault::new("a file that is asked for by POST has one URL"));
        }
        let mirrors: Result<Vec<_>, _> = urls.iter().map(|text| submit::new_mirror(text)).collect();
        let all = self.api.driver.add_mirrors(known.row.id, mirrors?).await?;
        Ok(all.saturating_sub(known.row.wish.mirrors.len()))
    }

    /// Changes options of a job.
    pub(super) async fn change_options(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        let given = Given::of(Some(params.options(1)?), &BTreeMap::new());
        if known.status().is_stopped() && known.status() != Status::Error {
            return Err(Fault::new(format!("Cannot change option for GID#{}", known.gid)));
        }
        let shown = self.shown(&known).await?;
        let is_same = |name: &str, text: &str| shown.get(name).is_some_and(|shown| shown == text);
        for name in FIXED {
            if let Some(text) = given.text(name).filter(|text| !is_same(name, text)) {
                let help = format!("It cannot be changed to `{}` for a job that is there.", brief(name, text));
                return Err(Fault::option(name, &help));
            }
        }
        let has_changed = |name: &str| given.text(name).is_some_and(|text| !is_same(name, text));
        let mut patch = PatchJob { bandwidth_limit: given.size("max-download-limit")?, ..PatchJob::default() };
        if has_changed("split") || has_changed("max-connection-per-server") {
            patch.connections = given.connections(1 + known.row.wish.mirrors.len())?;
        }
        patch.filename = given.text("out").filter(|_| has_changed("out")).map(str::to_owned);
        if has_changed("header") {
            let url = Url::parse(&known.row.wish.url).map_err(|_| Fault::new("the job's URL cannot be read"))?;
            let secrets = Secrets::named_in(&self.api.store, given.texts()).await?;
            let headers = given.headers().into_iter();
            let headers = headers.filter_map(|(name, text)| {
                let value = secrets.header(&name, &text, &url)?;
                Some((name, value))
            });
            patch.headers = Some(Some(headers.collect()).filter(|headers: &BTreeMap<_, _>| !headers.is_empty()));
        }
        if CHANGEABLE.into_iter().any(has_changed) {
            self.patch(&known, patch).await?;
        }
        Ok(ok())
    }

    async fn patch(&self, known: &Known, patch: PatchJob) -> Result<(), Fault> {
        submit::confine_patch(Caller::current(), &patch, self.api.has_proxy)?;
        let patch = submit::check_patch(patch)?;
        self.api.driver.patch(known.row.id, patch, None).await?;
        Ok(())
    }

    async fn act(&self, id: JobId, action: Action, refused: impl FnOnce() -> Fault) -> Result<(), Fault> {
        match self.api.driver.act(id, action).await {
            // It has gone on since it was looked at.
            Err(DriverError::Refused(_)) => Err(refused()),
            acted => acted.map(drop).map_err(Fault::from),
        }
    }

    async fn act_all(&self, action: Action, intent: Intent) -> Result<Value, Fault> {
        let states = vec![StateFilter { phase: Phase::Fetching, intent: Some(intent) }];
        self.api.driver.act_all(action, Filter { states, ..Filter::default() }).await?;
        Ok(ok())
    }
}

/// What a message says of an option's value: nothing where that may be a secret.
fn brief<'a>(name: &str, text: &'a str) -> std::borrow::Cow<'a, str> {
    match name {
        "dir" | "checksum" => text.chars().take(200).collect::<String>().into(),
        _ => "…".into(),
    }
}

/// Where a job comes to that goes so far from `origin`, and not beyond `last`.
fn moved(origin: usize, position: i64, last: usize) -> usize {
    let far = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 { origin.saturating_sub(far) } else { origin.saturating_add(far).min(last) }
}

/// The priority and the place of a job between two others. Its priority changes only where it must; it keeps its place where
/// there is nobody of the same one.
fn between(own: Waiting, before: Option<Waiting>, after: Option<Waiting>) -> (i32, Option<i64>) {
    let most = before.map_or(i32::MAX, |before| before.priority);
    let least = after.map_or(i32::MIN, |after| after.priority);
    let priority = own.priority.clamp(least.min(most), most);
    let place = |other: Option<Waiting>| other.filter(|other| other.priority == priority).map(|other| other.place);
    (priority, place_between(place(before), place(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(priority: i32, place: i64) -> Waiting {
        Waiting { id: JobId(1), priority, place }
    }

    #[test]
    fn a_job_comes_no_further_than_the_ends() {
        assert_eq!(moved(0, 2, 9), 2);
        assert_eq!(moved(5, -2, 9), 3);
        assert_eq!(moved(5, -9, 9), 0);
        assert_eq!(moved(5, 9, 9), 9);
        assert_eq!((moved(5, i64::MIN, 9), moved(5, i64::MAX, 9)), (0, 9));
    }

    #[test]
    fn a_job_that_is_moved_stands_between_its_neighbours() {
        let own = waiting(0, 500);
        assert_eq!(between(own, Some(waiting(0, 10)), Some(waiting(0, 20))), (0, Some(15)));
        assert_eq!(between(own, None, None), (0, None));
        let (_, first) = between(own, None, Some(waiting(0, 20)));
        assert!(first.expect("a place") < 20);
        let (_, last) = between(own, Some(waiting(0, 20)), None);
        assert!(last.expect("a place") > 20);
        // Among those of another priority it is one of them.
        assert_eq!(between(own, Some(waiting(7, 10)), Some(waiting(7, 20))), (7, Some(15)));
        assert_eq!(between(waiting(9, 0), Some(waiting(7, 10)), Some(waiting(3, 20))).0, 7);
        assert_eq!(between(waiting(5, 0), Some(waiting(7, 10)), Some(waiting(3, 20))), (5, None));
        assert_eq!(between(waiting(-5, 0), None, Some(waiting(3, 20))).0, 3);
    }
}
