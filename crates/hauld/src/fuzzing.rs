//! What must hold whatever bytes a client sends: one function for each target of `crates/fuzz`.
//!
//! No part of the interface. The fuzzer calls these functions with bytes of its own, the tests below with the files of
//! `crates/fuzz/corpus`. A function panics when a promise is broken.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use haul_api::{Limits, PatchHost, PatchJob, Problem, SubmitBody, SubmitJob, body};
use haul_store::Wish;
use haul_transfer::{Checksum, check_user_name};
use url::Url;

use crate::api::{Allowed, check_host_patch, check_limits, job_id};
use crate::metalink::{self, MetalinkFile};
use crate::submit::{self, Roots, Volumes};
use crate::{aria2, input, watch};

/// A Metalink: safe names, only HTTP, in memory that the document pays for, and jobs that can be accepted.
pub fn metalink(bytes: &[u8]) {
    let files = match metalink::read(bytes) {
        Ok(files) => files,
        Err(error) => {
            assert!(error.line <= 1 + bytes.iter().filter(|&&byte| byte == b'\n').count());
            return;
        }
    };
    assert!((1..=10_000).contains(&files.len()));
    // A character can become nine of a URL, `%e2%82%ac`.
    assert!(files.iter().map(bytes_of).sum::<usize>() <= bytes.len() * 9);
    for file in files {
        assert_described(&file);
        if let Ok(entry) = file.entry() {
            assert_eq!(entry.urls_dropped + entry.job.urls().count(), file.urls.len() + file.urls_dropped);
            let wire = serde_json::to_vec(&entry.job).expect("plain data");
            assert_eq!(SubmitBody::parse(&wire), Ok(SubmitBody::One(Box::new(entry.job.clone()))));
            let accepted = submit::check(&entry.job, &ROOTS).expect("what a Metalink asks for can be had");
            assert_sound(&accepted.job.wish);
        }
    }
}

/// What is submitted, as JSON and as a list of URLs, and what is changed: a job within all bounds, or a refusal without
/// secrets.
pub fn submit(bytes: &[u8]) {
    for body in [SubmitBody::parse(bytes), submit::uri_list(bytes)] {
        let jobs = match body {
            Ok(SubmitBody::One(job)) => vec![*job],
            Ok(SubmitBody::Many(items)) => items.into_iter().flatten().take(JOBS_MAX).collect(),
            Err(_) => continue,
        };
        for job in jobs {
            match submit::check(&job, &ROOTS) {
                Ok(accepted) => assert_sound(&accepted.job.wish),
                Err(problem) => assert_refused(&problem),
            }
            if let Err(problem) = submit::check(&with_secrets(job), &ROOTS) {
                assert!(!problem.detail.contains(SECRET) || contains(bytes, SECRET), "{problem}");
            }
        }
    }
    change(bytes);
}

/// A command line of curl: a job that can be written and read again, or an error that repeats nothing of it.
pub fn curl(bytes: &[u8]) {
    match crate::curl::read(bytes) {
        Ok(job) => assert_written(job),
        Err(error) => assert_told(&error.to_string()),
    }
}

/// A list of URLs with the options of aria2: jobs within all bounds and where they stand, or an error that says where.
pub fn list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = 1..=text.lines().count();
    match input::read(text) {
        Ok(listed) => {
            assert!(listed.jobs.is_sorted_by(|(a, _), (b, _)| a < b));
            assert!(listed.passed_over.iter().all(|(line, _)| lines.contains(line)));
            for (line, job) in listed.jobs.into_iter().take(JOBS_MAX) {
                assert!(lines.contains(&line) && job.url.as_ref().is_some_and(|url| text.contains(url)));
                assert_wanted(job);
            }
        }
        Err(error) => {
            assert!(lines.contains(&error.line), "{error}");
            assert_told(&error.to_string());
        }
    }
}

/// A file in the watch folder, under each name that it may have: jobs within all bounds, or an error that fits on a line.
pub fn dropped(bytes: &[u8]) {
    for name in ["a.txt", "a.url", "a.curl", "a.meta4"] {
        match watch::wanted(name, bytes) {
            Ok(jobs) => {
                assert!(!jobs.is_empty());
                jobs.into_iter().flatten().take(JOBS_MAX).for_each(assert_wanted);
            }
            Err(error) => assert_told(&error),
        }
    }
}

/// It can be sent and read again, and is within all bounds or refused.
fn assert_wanted(job: SubmitJob) {
    match submit::check(&job, &ROOTS) {
        Ok(accepted) => assert_sound(&accepted.job.wish),
        Err(problem) => assert_refused(&problem),
    }
    assert_written(job);
}

fn assert_written(job: SubmitJob) {
    let wire = serde_json::to_vec(&job).expect("plain data");
    assert_eq!(SubmitBody::parse(&wire), Ok(SubmitBody::One(Box::new(job))));
}

fn assert_told(text: &str) {
    assert!(text.len() <= DETAIL_BYTES_MAX && !text.contains(char::is_control), "{text}");
}

/// Changes of a job, of the limits and of a host.
fn change(bytes: &[u8]) {
    if let Ok(patch) = body::parse::<PatchJob>(bytes) {
        match submit::check_patch(patch) {
            Ok(patch) => {
                assert!(patch.connections.flatten().is_none_or(|number| (1..=64).contains(&number)));
                assert!(patch.priority.is_none_or(|priority| (-100..=100).contains(&priority)));
                assert!(patch.bandwidth_limit.flatten().is_none_or(|rate| rate > 0 && i64::try_from(rate).is_ok()));
                assert!(patch.label.flatten().is_none_or(|label| is_label(&label)));
            }
            Err(problem) => assert_refused(&problem),
        }
    }
    if let Ok(limits) = body::parse::<Limits>(bytes) {
        match check_limits(&limits) {
            Ok(()) => {
                assert!(limits.bandwidth_limit.is_none_or(|rate| i64::try_from(rate).is_ok()));
                assert!(limits.max_active_jobs.is_none_or(|jobs| jobs > 0));
                assert!(limits.labels.into_iter().flatten().all(|(label, _)| is_label(&label)));
            }
            Err(refused) => assert_refused(&refused.0),
        }
    }
    if let Ok(patch) = body::parse::<PatchHost>(bytes)
        && let Err(problem) = check_host_patch(patch)
    {
        assert_refused(&problem);
    }
}

/// A message of the aria2 dialect, as a body and as a query: few calls, and jobs within all bounds, or refusals.
pub fn jsonrpc(bytes: &[u8]) {
    for job in aria2::wanted(bytes).into_iter().take(JOBS_MAX) {
        match submit::check(&job, &ROOTS) {
            Ok(accepted) => assert_sound(&accepted.job.wish),
            Err(problem) => assert_refused(&problem),
        }
    }
}

/// Ids, which cursors are, too, names of hosts, and the `Host` and `Origin` of a request: one meaning, whoever reads them.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(id) = job_id(text) {
        assert!(i64::try_from(id.0).is_ok() && text.trim_start_matches(['+', '0']).len() <= id.to_string().len());
    }
    if let Some(name) = submit::host_name(text) {
        assert_eq!(submit::host_name(&name).as_deref(), Some(&*name), "a name has itself as its name");
        let url = Url::parse(&name).expect("an origin is a URL");
        assert!(url.path() == "/" && url.query().is_none() && url.username().is_empty(), "{name}");
        assert_eq!(submit::origin(&url), name, "jobs know the host by this name");
    }
    let allowed = Allowed::new(&["127.0.0.1:4285".to_owned()], &[], &[]);
    // Whoever goes to such a host or comes from such an origin goes to, or comes from, this machine.
    if allowed.host(text) {
        assert_ours(&format!("http://{text}/"));
    }
    let host = text.strip_prefix("http://").unwrap_or_default();
    if allowed.origin(text, host) && text.starts_with("http") {
        assert_ours(text);
    }
}

fn assert_ours(text: &str) {
    let url = Url::parse(text).ok();
    let is_ours = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    assert!(url.is_none_or(|url| is_ours(&url) && url.username().is_empty()), "{text}");
}

fn assert_described(file: &MetalinkFile) {
    assert_eq!(check_user_name(&file.name), Ok(()), "{:?}", file.name);
    assert_eq!(haul_transfer::repair(&file.name), file.name);
    assert!(file.size.is_none_or(|size| i64::try_from(size).is_ok()));
    assert!(file.checksums.is_sorted_by(|a, b| a.kind() >= b.kind()));
    file.checksums.iter().for_each(|checksum| assert_eq!(checksum.to_string().parse().as_ref(), Ok(checksum)));
    if let Some(pieces) = &file.pieces {
        assert!(pieces.length > 0 && pieces.checksums.iter().all(|checksum| checksum.kind() == pieces.kind));
        assert!(file.size.is_none_or(|size| size.div_ceil(pieces.length) == pieces.checksums.len() as u64));
    }
    assert!(file.urls.len() + file.urls_dropped <= 1_000 && file.urls.is_sorted_by_key(|url| url.priority));
    for url in &file.urls {
        assert_fetchable(url.url.as_str());
        assert!((1..=999_999).contains(&url.priority));
        assert!(url.location.as_ref().is_none_or(|location| location.len() == 2));
    }
}

/// What a job may hold, whoever made it.
fn assert_sound(wish: &Wish) {
    assert_fetchable(&wish.url);
    wish.mirrors.iter().for_each(|mirror| assert_fetchable(&mirror.url));
    assert!(wish.mirrors.len() < 16 && wish.mirrors.iter().all(|mirror| *mirror.url != *wish.url));
    assert!(Path::new(&wish.dir).starts_with(ROOT) && !wish.dir.contains("/../"), "{}", wish.dir);
    assert!(wish.filename.as_ref().is_none_or(|name| check_user_name(name).is_ok()));
    assert!(wish.expected_size.is_none_or(|size| i64::try_from(size).is_ok()));
    assert!(wish.bandwidth_limit.is_none_or(|rate| rate > 0 && i64::try_from(rate).is_ok()));
    assert!(wish.connections.is_none_or(|number| (1..=64).contains(&number)));
    assert!((-100..=100).contains(&wish.priority) && wish.label.as_ref().is_none_or(|label| is_label(label)));
    let checksum = wish.checksum.as_ref().map(|text| text.parse::<Checksum>().expect("checked").to_string());
    assert_eq!(checksum, wish.checksum);
    let headers = wish.headers.as_ref().map(|headers| serde_json::from_str(headers).expect("a map"));
    let headers: BTreeMap<String, String> = headers.unwrap_or_default();
    for (name, value) in &headers {
        assert!(!matches!(&**name, "host" | "range" | "connection") && !name.starts_with("proxy-"), "{name}");
        assert!(!name.contains(|c: char| c.is_ascii_uppercase() || c.is_whitespace() || c == ':'), "{name:?}");
        assert!(!value.contains(['\r', '\n', '\0']));
    }
    let urls = std::iter::once(&wish.url).chain(wish.mirrors.iter().map(|mirror| &mirror.url));
    assert!(urls.filter_map(|url| Url::parse(url).ok()).all(|url| !submit::has_userinfo(&url)));
    for value in wish.referrer.as_deref().into_iter().chain(wish.user_agent.as_deref()) {
        assert!(!value.contains(['\r', '\n', '\0']));
    }
}

/// HTTP, at some host, the same when it is read again.
fn assert_fetchable(text: &str) {
    let url = Url::parse(text).expect("a URL");
    assert_eq!(url.as_str(), text);
    assert!(matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty()), "{url}");
    assert!(url.fragment().is_none(), "{url}");
}

fn assert_refused(problem: &Problem) {
    assert!((400..500).contains(&problem.status) && problem.field.is_some(), "{problem:?}");
    assert!(problem.detail.len() <= DETAIL_BYTES_MAX, "{problem}");
}

fn is_label(label: &str) -> bool {
    (1..=64).contains(&label.chars().count()) && !label.contains(|c: char| c.is_control())
}

fn bytes_of(file: &MetalinkFile) -> usize {
    let pieces = file.pieces.as_ref().map_or(0, |pieces| pieces.checksums.len());
    let urls = file.urls.iter().map(|url| url.url.as_str().len());
    file.name.len() + urls.sum::<usize>() + file.checksums.len() + pieces
}

/// The same job with a secret wherever people put them.
fn with_secrets(mut job: SubmitJob) -> SubmitJob {
    let urls = job.url.iter_mut().chain(job.mirrors.iter_mut().flatten());
    urls.for_each(|url| url.push_str(&format!("?{SECRET}")));
    job.headers.iter_mut().flatten().for_each(|(_, value)| value.push_str(SECRET));
    job.referrer.iter_mut().chain(&mut job.page_url).for_each(|value| value.push_str(SECRET));
    job
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// The directories that may be written to: one that is there, and nothing is written.
static ROOTS: LazyLock<Roots> =
    LazyLock::new(|| Roots::new(Path::new(ROOT), &[], Arc::default(), Volumes::default()).expect("it is there"));

/// The root of them, without symbolic links.
const ROOT: &str = "/usr";

const SECRET: &str = "s3cret-canary";

/// Jobs of one body that are looked at: each asks the file system for its directory.
const JOBS_MAX: usize = 8;

/// Bytes of a refusal's text.
const DETAIL_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use haul_testkit::replay;

    #[test]
    fn the_corpus_of_metalinks_holds() {
        replay("metalink", super::metalink);
    }

    #[test]
    fn f_api_10_14_the_corpus_of_jobs_holds() {
        replay("submit", super::submit);
    }

    #[test]
    fn the_corpus_of_command_lines_holds() {
        replay("curl", super::curl);
    }

    #[test]
    fn the_corpus_of_lists_holds() {
        replay("list", super::list);
    }

    #[test]
    fn the_corpus_of_dropped_files_holds() {
        replay("dropped", super::dropped);
    }

    #[test]
    fn the_corpus_of_messages_holds() {
        replay("jsonrpc", super::jsonrpc);
    }

    #[test]
    fn f_sec_01_03_the_corpus_of_references_holds() {
        replay("reference", super::reference);
    }
}
