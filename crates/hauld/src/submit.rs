//! Whether a job can be accepted: everything that a user can get wrong, found before a row is written.

mod confine;
mod credentials;
mod digests;
mod headers;
mod roots;
mod urls;

use std::collections::HashMap;

use haul_api::{Method, OnChange, OnConflict, OnDuplicate, PatchJob, Position, Problem, ProblemCode, Start, SubmitJob};
use haul_core::Intent;
use haul_store::{JobPatch, NewJob, Private, Wish};
use haul_transfer::check_user_name;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::access::Caller;
use crate::config::{CONNECTIONS_MAX, DirByType, Rule};
use crate::spread::spread;
use crate::token::random_hex;

use confine::confine;
use digests::{checksum, checksum_url, pieces};
use headers::{headers, stored_headers};
use urls::urls;

pub(crate) use confine::confine_patch;
pub(crate) use credentials::{Credentials, basic_login};
pub(crate) use headers::{is_forbidden_header, two_credentials};
#[cfg(test)]
pub(crate) use roots::RootSpace;
pub(crate) use roots::{RootState, Roots, Volumes, keep_free};
pub(crate) use urls::{
    MIRRORS_MAX, URL_BYTES_MAX, has_userinfo, host_name, mirror, new_mirror, origin, uri_list, url, without_userinfo,
};

/// A guess at what a person would call a word.
const LABEL_CHARS_MAX: usize = 64;
/// Priorities reach from minus this to plus this.
const PRIORITY_MAX: i32 = 100;

/// Checks one job and brings it into the form that is stored.
///
/// # Errors
///
/// Names the field and what helps.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn check(job: &SubmitJob, roots: &Roots) -> Result<Checked, Problem> {
    check_in(job, roots, &mut |dir| roots.resolve(dir))
}

/// Checks many jobs of one caller; each directory is looked at once, or a few times. `has_proxy` says whether requests go through a proxy
/// unless their job says otherwise.
pub(crate) fn check_all(
    items: Vec<Result<SubmitJob, Problem>>,
    roots: &Roots,
    caller: Caller,
    has_proxy: bool,
) -> Vec<Result<Checked, Problem>> {
    let check_run = |items: Vec<Result<SubmitJob, Problem>>| -> Vec<_> {
        let mut known = HashMap::new();
        let mut resolve = |dir: Option<&str>| -> Result<String, Problem> {
            let found = known.entry(dir.map(str::to_owned)).or_insert_with(|| roots.resolve(dir));
            found.clone()
        };
        let mut check = |item: Result<SubmitJob, Problem>| {
            let item = item?;
            let checked = check_in(&item, roots, &mut resolve)?;
            Ok(Checked { job: confine(caller, &item, checked.job, has_proxy)?, ..checked })
        };
        items.into_iter().map(&mut check).collect()
    };
    spread(items, check_run).into_iter().flatten().collect()
}

/// Finds the directory that a job names.
type Resolve<'a> = dyn FnMut(Option<&str>) -> Result<String, Problem> + 'a;

fn check_in(job: &SubmitJob, roots: &Roots, resolve: &mut Resolve<'_>) -> Result<Checked, Problem> {
    let headers = headers(job.headers.as_ref())?;
    let (url, mirrors) = urls(job)?;
    let once = job.method.unwrap_or_default() == Method::Post;
    if once && !mirrors.is_empty() {
        return Err(invalid("mirrors", "a file that is asked for by `POST` has one URL".to_owned()));
    }
    let label = job.label.as_deref().map(label).transpose()?;
    let (rule, by_type) = roots.rule(&url, job.filename.as_deref(), label.as_deref());
    let by_type = if job.dir.is_none() { dirs_by_type(&by_type, resolve)? } else { Vec::new() };
    let (options, secrets) = crate::options::check(job, &url, by_type)?;
    let label = label.or_else(|| rule.and_then(Rule::label).map(str::to_owned));
    let dir = job.dir.as_deref().or_else(|| rule.and_then(Rule::dir)).or_else(|| roots.of_label(label.as_deref()));
    let gets_headers = |other: &&Url| other.origin() == url.origin();
    let has_user = std::iter::once(&url).chain(&mirrors).filter(gets_headers).any(has_userinfo);
    if has_user && headers.contains_key("authorization") {
        return Err(two_credentials());
    }
    job.filename.as_deref().map(filename).transpose()?;
    for (field, value) in [("referrer", &job.referrer), ("user_agent", &job.user_agent)] {
        if value.as_ref().is_some_and(|value| HeaderValue::from_str(value).is_err()) {
            return Err(invalid(field, format!("`{field}` has characters that a header cannot hold")));
        }
    }
    within_i64("size", job.size)?;
    let pieces = job.pieces.as_ref().map(|given| pieces(given, job.size)).transpose()?;
    let wish = Wish {
        host: origin(&url),
        url: Private(url.into()),
        mirrors: mirrors.into_iter().map(mirror).collect(),
        dir: resolve(dir)?,
        filename: job.filename.clone(),
        expected_size: job.size,
        checksum: job.checksum.as_deref().map(checksum).transpose()?,
        checksum_url: checksum_url(job)?,
        on_conflict: match job.on_conflict.unwrap_or_default() {
            OnConflict::Rename => haul_store::OnConflict::Rename,
            OnConflict::Overwrite => haul_store::OnConflict::Overwrite,
            OnConflict::Fail => haul_store::OnConflict::Fail,
        },
        on_change: on_change(job.on_change.unwrap_or_default()),
        headers: stored_headers(&headers),
        referrer: job.referrer.clone().map(Private),
        user_agent: job.user_agent.clone(),
        // Each of them is one more request that may have an effect.
        connections: job.connections.map(connections).transpose()?.or(once.then_some(1)),
        bandwidth_limit: limit(job.bandwidth_limit)?,
        priority: job.priority.map_or(Ok(0), priority)?,
        label,
        options,
        secrets,
        start_at_ms: match job.start {
            Some(Start::At(time)) => Some(time.as_millisecond()),
            Some(Start::Now | Start::Paused) | None => None,
        },
        place: None,
        sameness: None,
        once,
        credentials: None,
    };
    let wish = credentials::set_apart(wish);
    let intent = match job.start.unwrap_or_default() {
        Start::Now | Start::At(_) => Intent::Run,
        Start::Paused => Intent::Pause,
    };
    let wish = Wish { sameness: Some(sameness(&wish, job)), ..wish };
    let on_duplicate = match job.on_duplicate.unwrap_or_default() {
        OnDuplicate::Attach => haul_store::OnDuplicate::Attach,
        OnDuplicate::Copy => haul_store::OnDuplicate::Copy,
        OnDuplicate::Reject => haul_store::OnDuplicate::Reject,
    };
    Ok(Checked {
        job: NewJob { wish, intent, part_token: random_hex(4), pieces, maker: None, gid: None },
        on_duplicate,
        position: job.position.map(Position::number),
    })
}

/// Where the file goes if it turns out to be of some type, the first that fits first.
fn dirs_by_type(rules: &[&Rule], resolve: &mut Resolve<'_>) -> Result<Vec<DirByType>, Problem> {
    rules.iter().map(|rule| Ok(DirByType { types: rule.types.clone(), dir: resolve(rule.dir())? })).collect()
}

/// A submit that can be accepted.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) job: NewJob,
    pub(crate) on_duplicate: haul_store::OnDuplicate,
    /// Where it is put among those of its priority that wait, counted from 1.
    pub(crate) position: Option<u64>,
}

/// What makes two submits the same: what is asked for, and where it goes. Cookies and the referrer do not count: browsers
/// send others each time.
fn sameness(wish: &Wish, job: &SubmitJob) -> haul_store::Sameness {
    let method: &[u8] = if wish.once { b"POST" } else { b"GET" };
    let body = job.body.as_ref().map(|body| serde_json::to_vec(body).expect("plain data is JSON"));
    let parts: [&[u8]; 7] = [
        wish.url.as_bytes(),
        method,
        body.as_deref().unwrap_or_default(),
        wish.headers.as_deref().unwrap_or_default().as_bytes(),
        wish.credentials.as_deref().unwrap_or_default().as_bytes(),
        wish.dir.as_bytes(),
        wish.filename.as_deref().unwrap_or_default().as_bytes(),
    ];
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    std::array::from_fn(|index| digest[index])
}

fn filename(name: &str) -> Result<(), Problem> {
    check_user_name(name)
        .map(|_| ())
        .map_err(|problem| Problem::new(ProblemCode::InvalidFilename, problem.to_string()).with_field("filename"))
}

/// Checks a change of a job.
pub(crate) fn check_patch(patch: PatchJob) -> Result<JobPatch, Problem> {
    let label = match patch.label {
        Some(Some(text)) => Some(Some(label(&text)?)),
        Some(None) => Some(None),
        None => None,
    };
    patch.filename.as_deref().map(filename).transpose()?;
    let url = patch.url.as_deref().map(|text| url("url", text)).transpose()?;
    let headers = match patch.headers {
        Some(given) => Some(headers(given.as_ref())?),
        None => None,
    };
    if url.as_ref().is_some_and(has_userinfo) && headers.iter().any(|headers| headers.contains_key("authorization")) {
        return Err(two_credentials());
    }
    Ok(credentials::set_apart_of_patch(JobPatch {
        url: url.map(|url| (Private(url.to_string()), origin(&url))),
        headers: headers.map(|headers| stored_headers(&headers)),
        filename: patch.filename.map(Some),
        on_change: patch.on_change.map(on_change),
        priority: patch.priority.map(priority).transpose()?,
        connections: patch.connections.map(connections).transpose()?.map(Some),
        bandwidth_limit: match patch.bandwidth_limit {
            Some(rate) => Some(limit(Some(rate))?),
            None => None,
        },
        label,
        ..JobPatch::default()
    }))
}

fn on_change(policy: OnChange) -> haul_store::OnChange {
    match policy {
        OnChange::Restart => haul_store::OnChange::Restart,
        OnChange::Fail => haul_store::OnChange::Fail,
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
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    fn roots() -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let roots = Roots::new(dir.path(), &[], Arc::default(), Volumes::default()).expect("a directory that exists");
        (dir, roots)
    }

    #[test]
    fn a_host_has_one_name_whatever_people_call_it() {
        for (text, name) in [
            ("example.org", "https://example.org"),
            ("EXAMPLE.org:443", "https://example.org"),
            ("HTTPS://example.org/", "https://example.org"),
            ("https://example.org:8443", "https://example.org:8443"),
            ("http://example.org:80", "http://example.org"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8443", "https://[::1]:8443"),
            ("bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(host_name(text).as_deref(), Some(name), "{text}");
            let (_dir, roots) = roots();
            let job = SubmitJob::new(format!("{name}/a.iso?b#c"));
            assert_eq!(check(&job, &roots).expect("a good job").job.wish.host, name, "as jobs know it");
        }
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
        let url = |url: &'static str| -> Change { Box::new(|job| job.url = Some(url.into())) };
        let mirrors = |urls: Vec<String>| -> Change { Box::new(|job| job.mirrors = Some(urls)) };
        let pieces = |kind: &str, length, digests: &[&str]| -> Change {
            let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
            let pieces = haul_api::Pieces { kind: kind.to_owned(), length, digests };
            Box::new(move |job| (job.pieces, job.size) = (Some(pieces), Some(5)))
        };
        let cases: Vec<(Change, &str, &str)> = vec![
            (url("file:///etc/passwd"), "invalid-url", "url"),
            (url("ftp://host/canary"), "invalid-url", "url"),
            (url("host.example/file"), "invalid-url", "url"),
            (url("http://ho\nst/canary"), "invalid-url", "url"),
            (url("http://:80/"), "invalid-url", "url"),
            (Box::new(|j| j.url = None), "invalid-value", "url"),
            (
                mirrors(vec!["http://a/".into(), "http://b/".into(), "ftp://host/canary".into()]),
                "invalid-url",
                "mirrors[2]",
            ),
            (mirrors((0..MIRRORS_MAX).map(|n| format!("http://h/canary{n}")).collect()), "invalid-value", "mirrors"),
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
            (Box::new(|j| j.checksum = Some(format!("sha-512:{}", "0".repeat(64)))), "invalid-value", "checksum"),
            (Box::new(|j| j.checksum = Some("0".repeat(64))), "invalid-value", "checksum"),
            (Box::new(|j| j.checksum_url = Some("ftp://host/canary".into())), "invalid-url", "checksum_url"),
            (
                Box::new(|j| {
                    j.checksum = Some(format!("md5:{}", "0".repeat(32)));
                    j.checksum_url = Some("http://host/canary".into());
                }),
                "invalid-value",
                "checksum_url",
            ),
            (pieces("canary", 1, &[]), "invalid-value", "pieces.kind"),
            (pieces("md5", 0, &[]), "invalid-value", "pieces.length"),
            (pieces("crc32c", 1, &["00000000", "canary"]), "invalid-value", "pieces.digests[1]"),
            (pieces("crc32c", 2, &["00000000", "00000000"]), "invalid-value", "pieces.digests"),
            (Box::new(|j| j.size = Some(u64::MAX)), "invalid-value", "size"),
            (Box::new(|j| j.label = Some(String::new())), "invalid-value", "label"),
            (Box::new(|j| j.referrer = Some("canary\n".into())), "invalid-value", "referrer"),
        ];
        for (change, code, field) in cases {
            assert_eq!(refusal(change), (code.to_owned(), Some(field.to_owned())));
        }
    }

    #[test]
    fn f_http_15_a_user_in_the_url_and_an_authorization_header_contradict_each_other() {
        let headers = || Some(BTreeMap::from([("Authorization".into(), "Bearer canary".into())]));
        for url in [Some("http://ann:canary@host.example/".to_owned()), None] {
            let (code, field) = refusal(|job| {
                job.url = url.or(job.url.take());
                job.mirrors = Some(vec!["http://ann:canary@host.example/2".into()]);
                job.headers = headers();
            });
            assert_eq!((code.as_str(), field.as_deref()), ("header-not-allowed", Some("headers")));
        }
        let (_dir, roots) = roots();
        let elsewhere = Some(vec!["http://ann:pw@other.example/".to_owned()]);
        let job = SubmitJob { mirrors: elsewhere, headers: headers(), ..SubmitJob::new("http://host.example/") };
        check(&job, &roots).expect("no request carries both");
    }

    #[test]
    fn mirrors_are_kept_in_order_and_each_once() {
        let (_dir, roots) = roots();
        let given = ["http://A/f", "http://a:80/f#x", "https://b/f", "https://b:443/f"];
        let mirrors = Some(given.map(str::to_owned).to_vec());
        let only = SubmitJob { mirrors: mirrors.clone(), ..SubmitJob::default() };
        let wish = check(&only, &roots).expect("nothing is wrong").job.wish;
        let urls = |wish: &Wish| wish.mirrors.iter().map(|mirror| mirror.url.0.clone()).collect::<Vec<_>>();
        assert_eq!((&*wish.url, urls(&wish)), ("http://a/f", vec!["https://b/f".to_owned()]));
        assert_eq!(wish.mirrors[0].host, "https://b");
        let both = SubmitJob { mirrors, ..SubmitJob::new("https://c/f") };
        let wish = check(&both, &roots).expect("nothing is wrong").job.wish;
        assert_eq!((&*wish.url, urls(&wish)), ("https://c/f", vec!["http://a/f".to_owned(), "https://b/f".to_owned()]));
    }

    #[test]
    fn a_job_without_wishes_gets_the_defaults() {
        let (dir, roots) = roots();
        let job = check(&SubmitJob::new("HTTP://Host.Example:80/a b#frag"), &roots).expect("nothing is wrong").job;
        assert_eq!(&*job.wish.url, "http://host.example/a%20b");
        assert_eq!(job.wish.host, "http://host.example");
        assert_eq!(job.wish.dir, dir.path().canonicalize().expect("it exists").display().to_string());
        assert_eq!(job.intent, Intent::Run);
        assert_eq!(job.part_token.len(), 8);
    }

    #[test]
    fn rules_say_where_a_file_goes_and_what_label_it_gets_unless_its_job_does() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (_, other) = (std::fs::create_dir(dir.path().join("iso")), dir.path().join("iso"));
        let rule = |extension: &str, dir: &str, label: &str| Rule {
            extensions: vec![extension.to_owned()],
            dir: dir.into(),
            label: label.to_owned(),
            ..Rule::default()
        };
        let rules = vec![
            rule("iso", other.to_str().expect("UTF-8"), "disc"),
            rule("iso", "/never", "never"),
            rule("zip", "", "archive"),
        ];
        let roots = Roots::new(dir.path(), &[], Arc::default(), Volumes::default()).expect("a directory");
        let roots = roots.with_labels(BTreeMap::from([("archive".to_owned(), other.clone())])).with_rules(rules);
        let real = |path: &std::path::Path| path.canonicalize().expect("it exists").display().to_string();
        let wish = |job: SubmitJob| check(&job, &roots).map(|checked| (checked.job.wish.dir, checked.job.wish.label));
        let (iso, zip) = (|| SubmitJob::new("http://a/x.iso"), || SubmitJob::new("http://a/x.zip"));
        let label = |text: &str| Some(text.to_owned());
        assert_eq!(wish(iso()), Ok((real(&other), label("disc"))));
        assert_eq!(wish(SubmitJob { label: label("mine"), ..iso() }), Ok((real(&other), label("mine"))));
        let explicit = SubmitJob { dir: Some(real(dir.path())), ..iso() };
        assert_eq!(wish(explicit), Ok((real(dir.path()), label("disc"))));
        assert_eq!(wish(zip()), Ok((real(&other), label("archive"))), "the directory of the label that the rule gave");
        assert_eq!(wish(SubmitJob { filename: label("y.txt"), ..iso() }), Ok((real(dir.path()), None)));
    }

    #[test]
    fn rules_about_types_count_where_no_rule_before_them_does_and_the_job_names_no_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (_, films) = (std::fs::create_dir(dir.path().join("films")), dir.path().join("films"));
        let rule = |extension: &str, kind: &str| Rule {
            extensions: Some(extension).filter(|it| !it.is_empty()).into_iter().map(str::to_owned).collect(),
            types: Some(kind).filter(|it| !it.is_empty()).into_iter().map(str::to_owned).collect(),
            dir: films.clone(),
            ..Rule::default()
        };
        let rules = vec![rule("", "video/mp4"), rule("iso", ""), rule("", "video/*"), rule("zip", "a/b")];
        let roots = Roots::new(dir.path(), &[], Arc::default(), Volumes::default()).expect("a directory");
        let roots = roots.with_rules(rules);
        let by_type = |job: SubmitJob| {
            let wish = check(&job, &roots).expect("a good job").job.wish;
            let dirs = crate::options::Options::of(&wish).dirs_by_type;
            dirs.into_iter().flat_map(|by_type| by_type.types).collect::<Vec<_>>()
        };
        assert_eq!(by_type(SubmitJob::new("http://a/x")), ["video/mp4", "video/*"]);
        assert_eq!(
            by_type(SubmitJob::new("http://a/x.iso")),
            ["video/mp4"],
            "the second rule holds for it whatever it is"
        );
        let named = SubmitJob { dir: Some("films".to_owned()), ..SubmitJob::new("http://a/x") };
        assert_eq!(by_type(named), Vec::<String>::new());
    }

    #[test]
    fn what_is_the_same_is_told_by_what_is_asked_for_and_where_it_goes() {
        let (_dir, roots) = roots();
        let sameness = |job: &SubmitJob| check(job, &roots).expect("a good job").job.wish.sameness.expect("it has one");
        let job = SubmitJob::new("http://a.example/f");
        let header = |name: &str, value: &str| Some(BTreeMap::from([(name.to_owned(), value.to_owned())]));
        for same in [
            SubmitJob::new("HTTP://A.example:80/f#x"),
            SubmitJob { priority: Some(7), label: Some("l".to_owned()), start: Some(Start::Paused), ..job.clone() },
            SubmitJob { referrer: Some("http://b/".to_owned()), method: Some(Method::Get), ..job.clone() },
            SubmitJob { dir: Some(roots.resolve(None).expect("a directory")), ..job.clone() },
        ] {
            assert_eq!(sameness(&same), sameness(&job), "{same:?}");
        }
        assert_eq!(
            sameness(&SubmitJob { headers: header("X-A", "1"), ..job.clone() }),
            sameness(&SubmitJob { headers: header("x-a", "1"), ..job.clone() })
        );
        let post = |text: &str| SubmitJob {
            method: Some(Method::Post),
            body: Some(haul_api::RequestBody { text: Some(text.to_owned()), base64: None }),
            ..job.clone()
        };
        let others = [
            job.clone(),
            SubmitJob::new("http://a.example/f?"),
            SubmitJob::new("https://a.example/f"),
            SubmitJob { headers: header("x-a", "1"), ..job.clone() },
            SubmitJob { headers: header("x-a", "2"), ..job.clone() },
            SubmitJob { dir: Some("sub".to_owned()), ..job.clone() },
            SubmitJob { filename: Some("g".to_owned()), ..job.clone() },
            post("a"),
            post("b"),
        ];
        let all: std::collections::BTreeSet<_> = others.iter().map(sameness).collect();
        assert_eq!(all.len(), others.len());
    }

    #[test]
    fn a_post_has_one_url_and_one_connection() {
        let (_dir, roots) = roots();
        let post = SubmitJob { method: Some(Method::Post), ..SubmitJob::new("http://a.example/f") };
        let job = check(&post, &roots).expect("a good job").job;
        assert_eq!((job.wish.once, job.wish.connections), (true, Some(1)));
        let several = SubmitJob { mirrors: Some(vec!["http://b.example/f".to_owned()]), ..post };
        assert_eq!(check(&several, &roots).expect_err("two URLs").field.as_deref(), Some("mirrors"));
    }
}
