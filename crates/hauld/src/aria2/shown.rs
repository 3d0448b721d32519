//! The options of jobs and of the daemon, as they are shown and changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use haul_api::HumanDuration;
use haul_store::OnConflict;
use http::HeaderValue;
use serde_json::{Value, json};

use super::call::Session;
use super::defaults;
use super::fault::Fault;
use super::methods::ok;
use super::options::Given;
use super::params::Params;
use super::secret;
use super::status::Known;
use crate::config::CONNECTIONS_MAX;
use crate::driver::LimitChanges;
use crate::options::{Options, cookies_of, proxy_of};

/// Jobs at work at a time, at most (as `PATCH /v1/settings` has it).
const ACTIVE_MAX: u32 = 10_000;

/// What clients read and haul has no choice in.
const CONSTANTS: [(&str, &str); 37] = [
    ("allow-piece-length-change", "true"),
    ("always-resume", "true"),
    ("async-dns", "false"),
    ("bt-max-peers", "0"),
    ("bt-remove-unselected-file", "false"),
    ("check-certificate", "true"),
    ("check-integrity", "true"),
    ("conditional-get", "false"),
    ("content-disposition-default-utf8", "true"),
    ("continue", "true"),
    ("disk-cache", "0"),
    ("dry-run", "false"),
    ("enable-dht", "false"),
    ("enable-dht6", "false"),
    ("enable-http-keep-alive", "true"),
    ("enable-http-pipelining", "false"),
    ("enable-peer-exchange", "false"),
    ("file-allocation", "falloc"),
    ("follow-metalink", "false"),
    ("follow-torrent", "false"),
    ("http-accept-gzip", "false"),
    ("http-passwd", ""),
    ("http-user", ""),
    ("listen-port", "0"),
    ("max-file-not-found", "0"),
    ("max-overall-upload-limit", "0"),
    ("max-upload-limit", "0"),
    ("min-split-size", "1048576"),
    ("no-conf", "false"),
    ("parameterized-uri", "false"),
    ("piece-length", "1048576"),
    ("realtime-chunk-checksum", "true"),
    ("remote-time", "false"),
    ("reuse-uri", "true"),
    ("seed-ratio", "0.0"),
    ("seed-time", "0"),
    ("use-head", "false"),
];

impl Session<'_> {
    pub(super) async fn options(&mut self, params: &Params) -> Result<Value, Fault> {
        let known = self.job(params).await?;
        Ok(json!(self.shown(&known).await?))
    }

    /// The options of a job. Submitted once more, they make the same job.
    pub(super) async fn shown(&self, known: &Known) -> Result<BTreeMap<&'static str, String>, Fault> {
        let limits = self.api.driver.limits().await?.limits;
        let wish = &known.row.wish;
        let mut shown = self.common();
        let connections = wish.connections.unwrap_or(limits.connections_per_job).to_string();
        let options = Options::of(wish);
        let (overwrite, renames) = match wish.on_conflict {
            OnConflict::Rename => (false, true),
            OnConflict::Overwrite => (true, true),
            OnConflict::Fail => (false, false),
        };
        shown.extend([
            ("dir", wish.dir.clone()),
            ("split", connections.clone()),
            ("max-connection-per-server", connections),
            ("max-download-limit", wish.bandwidth_limit.unwrap_or(0).to_string()),
            ("allow-overwrite", overwrite.to_string()),
            ("auto-file-renaming", renames.to_string()),
            ("pause", "false".to_owned()),
        ]);
        let given = [
            ("out", wish.filename.clone()),
            ("user-agent", wish.user_agent.clone()),
            ("referer", wish.referrer.as_deref().map(|text| secret::shown_referrer(text, &known.gid))),
            ("checksum", wish.checksum.as_ref().map(|text| text.replacen(':', "=", 1))),
            ("all-proxy", options.proxy.as_ref().map(|shown| self::proxy(shown, known))),
            ("no-proxy", options.no_proxy.clone()),
            ("header", headers(known)),
        ];
        shown.extend(given.into_iter().filter_map(|(name, text)| Some((name, text?))));
        Ok(shown)
    }

    pub(super) async fn global_options(&self) -> Result<Value, Fault> {
        let limits = self.api.driver.limits().await?.limits;
        let mut shown = self.common();
        let connections = limits.connections_per_job.to_string();
        shown.extend([
            ("dir", self.api.configuration.download_dir.to_string_lossy().into_owned()),
            ("split", connections.clone()),
            ("max-connection-per-server", connections),
            ("max-download-limit", "0".to_owned()),
            ("max-concurrent-downloads", limits.max_active_jobs.to_string()),
            ("max-overall-download-limit", limits.bandwidth.bandwidth_limit.to_string()),
            ("max-download-result", "1000".to_owned()),
            ("allow-overwrite", "false".to_owned()),
            ("auto-file-renaming", "true".to_owned()),
        ]);
        let set = self.api.dialect.defaults.all();
        shown.extend(defaults::NAMES.iter().filter_map(|name| Some((*name, set.get(*name)?.clone()))));
        Ok(json!(shown))
    }

    /// Changes limits at once, and what counts for all new jobs of this dialect. What haul has no choice in is passed over.
    pub(super) async fn change_global_options(&self, params: &Params) -> Result<Value, Fault> {
        let given = Given::of(Some(params.options(0)?), &BTreeMap::new());
        let changes = LimitChanges {
            max_active_jobs: given.count("max-concurrent-downloads")?.map(|number| number.min(ACTIVE_MAX)),
            bandwidth_limit: given.size("max-overall-download-limit")?.map(|rate| rate.min(i64::MAX as u64)),
            connections_per_job: given.count("split")?.map(|number| number.min(CONNECTIONS_MAX)),
            ..LimitChanges::default()
        };
        let mut set = BTreeMap::new();
        for name in defaults::NAMES {
            let text = match (name, params.options(0)?.get(name).and_then(Value::as_str)) {
                (_, None) => continue,
                (_, Some(text)) if text.trim().is_empty() => String::new(),
                ("dir", Some(text)) => self.resolved(text.trim()).await?,
                ("max-download-limit", Some(_)) => given.size(name)?.unwrap_or_default().to_string(),
                ("allow-overwrite" | "auto-file-renaming", Some(_)) => {
                    given.flag(name)?.unwrap_or_default().to_string()
                }
                (_, Some(text)) if HeaderValue::from_str(text).is_err() => {
                    return Err(Fault::option(name, "It has characters that a header cannot hold."));
                }
                (_, Some(text)) => text.to_owned(),
            };
            set.insert(name.to_owned(), text);
        }
        if changes != LimitChanges::default() {
            self.api.driver.set_limits(changes).await?;
        }
        if !set.is_empty() {
            self.api.dialect.defaults.change(&self.api.store, set).await?;
        }
        Ok(ok())
    }

    /// A directory that jobs may be saved to.
    async fn resolved(&self, dir: &str) -> Result<String, Fault> {
        let (roots, dir) = (Arc::clone(&self.api.roots), dir.to_owned());
        // A disk may hang.
        let resolved = tokio::task::spawn_blocking(move || roots.resolve(Some(&dir))).await;
        let resolved = resolved.map_err(|_| Fault::new("the directory could not be looked at"))?;
        resolved.map_err(|problem| Fault::option("dir", &problem.detail))
    }

    /// What is the same for all jobs.
    fn common(&self) -> BTreeMap<&'static str, String> {
        let configuration = &self.api.configuration;
        let seconds = |duration: HumanDuration| duration.0.as_secs().max(1).to_string();
        let constants = CONSTANTS.map(|(name, text)| (name, text.to_owned()));
        let configured = [
            ("user-agent", configuration.user_agent.clone()),
            ("timeout", seconds(configuration.stall_timeout)),
            ("connect-timeout", seconds(configuration.connect_timeout)),
            ("max-tries", configuration.retry_limit.to_string()),
            ("retry-wait", seconds(configuration.retry_wait)),
            ("lowest-speed-limit", configuration.speed_floor.0.to_string()),
        ];
        constants.into_iter().chain(configured).collect()
    }
}

/// A proxy; where it has a login, what stands for it.
fn proxy(shown: &str, known: &Known) -> String {
    match proxy_of(&known.row.wish) {
        Some(whole) if whole != shown => secret::placeholder(&known.gid),
        Some(_) | None => shown.to_owned(),
    }
}

/// The headers of a job, a line for each.
fn headers(known: &Known) -> Option<String> {
    let wish = &known.row.wish;
    let stored = wish.headers.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let mut headers: BTreeMap<String, String> = stored.unwrap_or_default();
    for (name, value) in &mut headers {
        *value = secret::shown_header(name, value, &known.gid);
    }
    let placeholder = || secret::placeholder(&known.gid);
    if wish.credentials.is_some() {
        headers.entry("authorization".to_owned()).or_insert_with(placeholder);
    }
    if !cookies_of(wish).is_empty() {
        headers.entry("cookie".to_owned()).or_insert_with(placeholder);
    }
    let user_agent = wish.user_agent.clone().map(|value| ("user-agent".to_owned(), value));
    let lines = headers.into_iter().chain(user_agent).map(|(name, value)| format!("{}: {value}", capital(&name)));
    Some(lines.collect::<Vec<_>>().join("\n")).filter(|lines| !lines.is_empty())
}

/// A header's name as browsers write it.
fn capital(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_browsers_write_them() {
        for (name, written) in [("cookie", "Cookie"), ("user-agent", "User-Agent"), ("x--a-", "X--A-")] {
            assert_eq!(capital(name), written);
        }
    }
}
