//! New jobs: of URLs, and of the files of a Metalink.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::{Position, Problem, SubmitJob};
use haul_store::{Scope, StoreError};
use serde_json::{Value, json};

use super::call::Session;
use super::fault::Fault;
use super::gid::{Gid, not_unique};
use super::options::Given;
use super::params::Params;
use super::secret::Secrets;
use crate::access::Caller;
use crate::api::checked;
use crate::driver::{Became, DriverError};
use crate::metalink::{self, MetalinkFile};
use crate::submit::{Checked, MIRRORS_MAX};

impl Session<'_> {
    /// One job of URLs of one file.
    pub(super) async fn add_uri(&mut self, params: &Params) -> Result<Value, Fault> {
        let uris = params.texts(0)?;
        let given = Given::of(params.optional_options(1)?, &self.api.dialect.defaults.all());
        let position = position(params.optional_integer(2)?)?;
        if uris.is_empty() {
            return Err(Fault::new("URI is not provided."));
        }
        let secrets = Secrets::named_in(&self.api.store, given.texts().chain(uris.iter().copied())).await?;
        let urls = uris.iter().map(|uri| secrets.url(uri.trim())).filter(|url| is_http(url));
        let urls: Vec<String> = urls.take(MIRRORS_MAX).collect();
        if urls.is_empty() {
            return Err(Fault::new("No URI to download."));
        }
        let gid = given.text("gid").map(Gid::chosen).transpose()?;
        let job = SubmitJob { position, ..given.job(urls, &secrets, may_overwrite())? };
        let mut checked = checked(self.api, vec![Ok(job)]).await?.pop().expect("one result for one job")?;
        checked.job.gid = gid.map(|gid| gid.to_string());
        let gids = self.submit(vec![checked]).await?;
        Ok(json!(gids.first()))
    }

    /// A job for each file of a Metalink.
    pub(super) async fn add_metalink(&mut self, params: &Params) -> Result<Value, Fault> {
        let bytes = BASE64_STANDARD.decode(params.text(0)?.trim());
        let bytes = bytes.map_err(|_| Fault::new("the Metalink must come in base64"))?;
        let given = Given::of(params.optional_options(1)?, &self.api.dialect.defaults.all());
        let position = position(params.optional_integer(2)?)?;
        let files = tokio::task::spawn_blocking(move || metalink::read(&bytes)).await;
        let files = files.map_err(|_| Fault::new("the Metalink could not be read"))?;
        let files = files.map_err(|error| Fault::new(format!("the Metalink cannot be read: {error}")))?;
        self.spend(files.len())?;
        let secrets = Secrets::named_in(&self.api.store, given.texts()).await?;
        let mut jobs = Vec::with_capacity(files.len());
        for file in &files {
            jobs.push(of_file(file, &given, &secrets, position)?);
        }
        let (good, refused): (Vec<_>, Vec<_>) = checked(self.api, jobs).await?.into_iter().partition(Result::is_ok);
        let good: Vec<Checked> = good.into_iter().flatten().collect();
        match refused.into_iter().find_map(Result::err) {
            // What can be fetched of it is.
            Some(problem) if good.is_empty() => Err(problem.into()),
            Some(_) | None => Ok(json!(self.submit(good).await?)),
        }
    }

    /// Submits jobs and tells what they are called.
    async fn submit(&self, jobs: Vec<Checked>) -> Result<Vec<String>, Fault> {
        let chosen: Vec<_> = jobs.iter().map(|checked| checked.job.gid.clone()).collect();
        let submitted = match self.api.driver.submit(jobs, Vec::new()).await {
            Err(DriverError::Store(StoreError::GidTaken)) => {
                return Err(not_unique(chosen.iter().flatten().next().map_or("", String::as_str)));
            }
            submitted => submitted?,
        };
        let gids = chosen.into_iter().enumerate().filter_map(|(index, chosen)| match submitted.became(index) {
            Became::New(row) | Became::There(row) => Some(chosen.unwrap_or_else(|| Gid::of(row.id).to_string())),
            // None is the same as another one here.
            Became::Rejected(_) => None,
        });
        Ok(gids.collect())
    }
}

/// The job for a file of a Metalink: what that says counts, and the options for the rest.
fn of_file(
    file: &MetalinkFile,
    given: &Given,
    secrets: &Secrets,
    position: Option<Position>,
) -> Result<Result<SubmitJob, Problem>, Fault> {
    let entry = match file.entry() {
        Ok(entry) => entry.job,
        Err(problem) => return Ok(Err(problem)),
    };
    let urls = entry.urls().map(|(_, url)| url.to_owned()).collect();
    let job = given.job(urls, secrets, may_overwrite())?;
    Ok(Ok(SubmitJob {
        filename: entry.filename,
        size: entry.size,
        checksum: entry.checksum,
        pieces: entry.pieces,
        position,
        ..job
    }))
}

/// Counted from 0, behind all others where nothing is said.
fn position(given: Option<i64>) -> Result<Option<Position>, Fault> {
    let at = |position: i64| u64::try_from(position).map(|position| Position::At(position.saturating_add(1)));
    let position = given.map(at).transpose();
    position.map_err(|_| Fault::new("Position must be greater than or equal to 0."))
}

/// Clients send this option with all that they send; a token that may not do so goes without.
fn may_overwrite() -> bool {
    Caller::current().scope != Scope::Submit
}

pub(super) fn is_http(url: &str) -> bool {
    let begins = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("http://") || begins("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_from_0() {
        assert_eq!(position(None), Ok(None));
        assert_eq!(position(Some(0)), Ok(Some(Position::At(1))));
        assert_eq!(position(Some(i64::MAX)), Ok(Some(Position::At(1 << 63))));
        assert!(position(Some(-1)).is_err());
    }

    #[test]
    fn only_http_is_fetched() {
        for url in ["http://h/a", "HTTPS://h/a"] {
            assert!(is_http(url), "{url}");
        }
        for url in
            ["", "blob:http://h/1", "ftp://h/a", "magnet:?xt=a", "file:///etc/passwd", "http", "data:,a", "ühttp://"]
        {
            assert!(!is_http(url), "{url}");
        }
    }
}
