//! Whether a job can be accepted: everything that a user can get wrong, found before a row is written.

mod roots;

use std::collections::BTreeMap;

use haul_api::{OnConflict, PatchJob, Problem, ProblemCode, Start, SubmitBody, SubmitJob};
use haul_core::Intent;
use haul_store::{JobPatch, NewJob, Private, Wish};
use haul_transfer::check_user_name;
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::config::CONNECTIONS_MAX;
use crate::token::random_hex;

pub(crate) use roots::Roots;

/// URLs longer than this are mistakes; browsers end at some 2 MB, servers at 8 to 64 KiB.
const URL_BYTES_MAX: usize = 32 << 10;
/// A guess at what a person would call a word.
const LABEL_CHARS_MAX: usize = 64;
/// A guess: the header limit of common servers is 8 to 16 KiB for all of them together.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Priorities reach from minus this to plus this.
const PRIORITY_MAX: i32 = 100;

/// Headers that are ours to set, or that would change what an answer means (FAILURES.md, F-SEC-16).
const FORBIDDEN_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "range",
    "if-range",
    "accept-encoding",
    "te",
    "upgrade",
    "expect",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];

/// Checks one job and brings it into the form that is stored.
///
/// # Errors
///
/// Names the field and what helps.
pub(crate) fn check(job: &SubmitJob, roots: &Roots) -> Result<NewJob, Problem> {
    let headers = headers(job.headers.as_ref())?;
    let url = url(&job.url)?;
    if has_userinfo(&url) && headers.contains_key("authorization") {
        let detail = "give either a user in the URL or an Authorization header, not both";
        return Err(Problem::new(ProblemCode::HeaderNotAllowed, detail).with_field("headers"));
    }
    if let Some(name) = &job.filename {
        check_user_name(name).map_err(|problem| {
            Problem::new(ProblemCode::InvalidFilename, problem.to_string()).with_field("filename")
        })?;
    }
    for (field, value) in [("referrer", &job.referrer), ("user_agent", &job.user_agent)] {
        if value.as_ref().is_some_and(|value| HeaderValue::from_str(value).is_err()) {
            return Err(invalid(field, format!("`{field}` has characters that a header cannot hold")));
        }
    }
    within_i64("size", job.size)?;
    let wish = Wish {
        host: origin(&url),
        url: Private(url.into()),
        dir: roots.resolve(job.dir.as_deref())?,
        filename: job.filename.clone(),
        expected_size: job.size,
        checksum: job.checksum.as_deref().map(checksum).transpose()?,
        on_conflict: match job.on_conflict.unwrap_or_default() {
            OnConflict::Rename => haul_store::OnConflict::Rename,
            OnConflict::Overwrite => haul_store::OnConflict::Overwrite,
            OnConflict::Fail => haul_store::OnConflict::Fail,
        },
        headers: (!headers.is_empty())
            .then(|| Private(serde_json::to_string(&headers).expect("a map of strings is JSON"))),
        referrer: job.referrer.clone().map(Private),
        user_agent: job.user_agent.clone(),
        connections: job.connections.map(connections).transpose()?,
        bandwidth_limit: limit(job.bandwidth_limit)?,
        priority: job.priority.map_or(Ok(0), priority)?,
        label: job.label.as_deref().map(label).transpose()?,
    };
    let intent = match job.start.unwrap_or_default() {
        Start::Now => Intent::Run,
        Start::Paused => Intent::Pause,
    };
    Ok(NewJob { wish, intent, part_token: random_hex(4) })
}

/// Checks a change of a job.
pub(crate) fn check_patch(patch: PatchJob) -> Result<JobPatch, Problem> {
    let label = match patch.label {
        Some(Some(text)) => Some(Some(label(&text)?)),
        Some(None) => Some(None),
        None => None,
    };
    Ok(JobPatch {
        priority: patch.priority.map(priority).transpose()?,
        connections: patch.connections.map(connections).transpose()?.map(Some),
        bandwidth_limit: match patch.bandwidth_limit {
            Some(rate) => Some(limit(Some(rate))?),
            None => None,
        },
        label,
        ..JobPatch::default()
    })
}

/// Reads a list of URLs (RFC 2483 section 5): one a line, `#` starts a comment.
pub(crate) fn uri_list(bytes: &[u8]) -> Result<SubmitBody, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Problem::new(ProblemCode::InvalidUrl, "the list of URLs must be UTF-8"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut jobs: Vec<SubmitJob> = lines.map(SubmitJob::new).collect();
    match jobs.len() {
        0 => Err(Problem::new(ProblemCode::InvalidUrl, "the list holds no URL")),
        1 => Ok(SubmitBody::One(Box::new(jobs.remove(0)))),
        _ => Ok(SubmitBody::Many(jobs.into_iter().map(Ok).collect())),
    }
}

fn url(text: &str) -> Result<Url, Problem> {
    let refuse = |detail: &str| Problem::new(ProblemCode::InvalidUrl, detail).with_field("url");
    if text.len() > URL_BYTES_MAX {
        return Err(refuse("the URL is longer than 32 KiB"));
    }
    // The parser would silently drop some of these (FAILURES.md, F-SEC-17).
    if text.chars().any(char::is_control) {
        return Err(refuse("the URL holds control characters; paste it again without line breaks"));
    }
    let mut url = Url::parse(text.trim()).map_err(|error| {
        if error == url::ParseError::RelativeUrlWithoutBase {
            refuse("the URL needs a scheme: `https://…`")
        } else {
            refuse(&format!("the URL cannot be read: {error}"))
        }
    })?;
    match url.scheme() {
        "http" | "https" => {}
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(refuse(&format!("only http and https URLs can be fetched, not `{other}:`")));
        }
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("the URL names no host"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// Scheme, host and port: what connections are counted by.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn headers(given: Option<&BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, Problem> {
    let refuse = |detail: String| Problem::new(ProblemCode::HeaderNotAllowed, detail).with_field("headers");
    let mut checked = BTreeMap::new();
    let mut size = 0;
    for (name, value) in given.into_iter().flatten() {
        let lower = name.to_ascii_lowercase();
        let known = HeaderName::from_bytes(name.as_bytes());
        // A name that is none may be anything, a secret too: it is not repeated.
        known.map_err(|_| refuse("a header name has characters that it cannot have".to_owned()))?;
        if FORBIDDEN_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            return Err(refuse(format!("the header `{lower}` is set by haul itself")));
        }
        HeaderValue::from_str(value)
            .map_err(|_| refuse(format!("the value of `{lower}` has characters that a header cannot hold")))?;
        size += name.len() + value.len();
        checked.insert(lower, value.clone());
    }
    if size > HEADER_BYTES_MAX {
        return Err(refuse("the headers are larger than 16 KiB".to_owned()));
    }
    Ok(checked)
}

/// The one kind of digest that is checked so far, in its one spelling.
fn checksum(text: &str) -> Result<String, Problem> {
    let (kind, hex) = text.split_once(':').unwrap_or(("", text));
    let known = matches!(kind.to_ascii_lowercase().as_str(), "sha256" | "sha-256");
    let digits = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if known && digits {
        Ok(format!("sha-256:{}", hex.to_ascii_lowercase()))
    } else {
        Err(invalid("checksum", "`checksum` must be `sha256:` and 64 hexadecimal digits".to_owned()))
    }
}

fn connections(number: u32) -> Result<u32, Problem> {
    if (1..=CONNECTIONS_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(invalid("connections", format!("`connections` may be 1 to {CONNECTIONS_MAX}")))
    }
}

fn priority(number: i32) -> Result<i32, Problem> {
    if (-PRIORITY_MAX..=PRIORITY_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(invalid("priority", format!("`priority` may be -{PRIORITY_MAX} to {PRIORITY_MAX}")))
    }
}

/// A limit of 0 is none.
fn limit(rate: Option<u64>) -> Result<Option<u64>, Problem> {
    within_i64("bandwidth_limit", rate)?;
    Ok(rate.filter(|rate| *rate > 0))
}

/// Checks a label.
pub(crate) fn label(text: &str) -> Result<String, Problem> {
    let fits = !text.is_empty() && text.chars().count() <= LABEL_CHARS_MAX && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(invalid("label", format!("`label` may have 1 to {LABEL_CHARS_MAX} characters, no control characters")))
    }
}

fn within_i64(field: &str, number: Option<u64>) -> Result<(), Problem> {
    match number {
        Some(number) if number > i64::MAX as u64 => Err(invalid(field, format!("`{field}` is too large"))),
        Some(_) | None => Ok(()),
    }
}

fn invalid(field: &str, detail: String) -> Problem {
    Problem::new(ProblemCode::InvalidValue, detail).with_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let roots = Roots::new(dir.path(), &[]).expect("a directory that exists");
        (dir, roots)
    }

    fn refusal(change: impl FnOnce(&mut SubmitJob)) -> (String, Option<String>) {
        let (_dir, roots) = roots();
        let mut job = SubmitJob::new("http://host.example/file?secret-canary=1");
        change(&mut job);
        let problem = check(&job, &roots).expect_err("the job has a mistake");
        assert!(!problem.detail.contains("canary"), "{}", problem.detail);
        (problem.code.into_owned(), problem.field)
    }

    #[test]
    fn each_mistake_is_refused_with_its_code_and_field() {
        let header = |name: &str, value: &str| Some(BTreeMap::from([(name.to_owned(), value.to_owned())]));
        type Change = Box<dyn FnOnce(&mut SubmitJob)>;
        let cases: Vec<(Change, &str, &str)> = vec![
            (Box::new(|j| j.url = "file:///etc/passwd".into()), "invalid-url", "url"),
            (Box::new(|j| j.url = "ftp://host/canary".into()), "invalid-url", "url"),
            (Box::new(|j| j.url = "host.example/file".into()), "invalid-url", "url"),
            (Box::new(|j| j.url = "http://ho\nst/canary".into()), "invalid-url", "url"),
            (Box::new(|j| j.url = "http://:80/".into()), "invalid-url", "url"),
            (Box::new(|j| j.filename = Some("../canary".into())), "invalid-filename", "filename"),
            (Box::new(|j| j.filename = Some("..".into())), "invalid-filename", "filename"),
            (Box::new(|j| j.dir = Some("/etc".into())), "path-outside-roots", "dir"),
            (Box::new(|j| j.dir = Some("a/../../b".into())), "path-outside-roots", "dir"),
            (Box::new(move |j| j.headers = header("Host", "canary")), "header-not-allowed", "headers"),
            (Box::new(move |j| j.headers = header("X-A", "canary\r\nX-B: 1")), "header-not-allowed", "headers"),
            (Box::new(move |j| j.headers = header("canary header", "1")), "header-not-allowed", "headers"),
            (Box::new(move |j| j.headers = header("Proxy-Authorization", "canary")), "header-not-allowed", "headers"),
            (Box::new(|j| j.connections = Some(0)), "invalid-value", "connections"),
            (Box::new(|j| j.connections = Some(65)), "invalid-value", "connections"),
            (Box::new(|j| j.priority = Some(101)), "invalid-value", "priority"),
            (Box::new(|j| j.checksum = Some("md5:canary".into())), "invalid-value", "checksum"),
            (Box::new(|j| j.size = Some(u64::MAX)), "invalid-value", "size"),
            (Box::new(|j| j.label = Some(String::new())), "invalid-value", "label"),
            (Box::new(|j| j.referrer = Some("canary\n".into())), "invalid-value", "referrer"),
        ];
        for (change, code, field) in cases {
            assert_eq!(refusal(change), (code.to_owned(), Some(field.to_owned())));
        }
    }

    #[test]
    fn a_user_in_the_url_and_an_authorization_header_contradict_each_other() {
        let (code, field) = refusal(|job| {
            job.url = "http://ann:canary@host.example/".into();
            job.headers = Some(BTreeMap::from([("Authorization".into(), "Bearer canary".into())]));
        });
        assert_eq!((code.as_str(), field.as_deref()), ("header-not-allowed", Some("headers")));
    }

    #[test]
    fn a_job_without_wishes_gets_the_defaults() {
        let (dir, roots) = roots();
        let job = check(&SubmitJob::new("HTTP://Host.Example:80/a b#frag"), &roots).expect("nothing is wrong");
        assert_eq!(&*job.wish.url, "http://host.example/a%20b");
        assert_eq!(job.wish.host, "http://host.example");
        assert_eq!(job.wish.dir, dir.path().canonicalize().expect("it exists").display().to_string());
        assert_eq!(job.intent, Intent::Run);
        assert_eq!(job.part_token.len(), 8);
    }

    #[test]
    fn a_uri_list_may_have_comments() {
        let list = uri_list(b"# two files\r\nhttp://a/1\r\n\r\nhttp://a/2\r\n").expect("two URLs");
        assert!(matches!(list, SubmitBody::Many(items) if items.len() == 2));
        assert!(matches!(uri_list(b"http://a/1\n"), Ok(SubmitBody::One(_))));
        assert!(uri_list(b"# nothing\n").is_err());
    }
}
