//! The body of `POST /v1/jobs`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body;
use crate::options::{Cookie, IpVersion, Method, OnDuplicate, Position, RequestBody, Start};
use crate::problem::{Problem, ProblemCode};

/// The media type of a command line of curl, which can be submitted, too.
pub const CURL_MEDIA_TYPE: &str = "application/x-curl";

/// The media type of Metalink 4 (RFC 5854 section 8.3), which can be submitted, too.
pub const METALINK_MEDIA_TYPE: &str = "application/metalink4+xml";

/// What a client wants downloaded, and how. `null` means the same as leaving a field out.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitJob {
    /// Where the file is: `http` or `https`. May be left out where `mirrors` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub url: Option<String>,
    /// Where else the file is, or all the places where it is. The first of all of them has the say: it gets the headers,
    /// and what the others send is compared with what it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub mirrors: Option<Vec<String>>,
    /// The directory to save into, within the allowed roots. Default: `download_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The name to save under. Default: what the server or the URL says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Request headers for the URL's own origin, value by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The `Referer` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
    /// The page that the link stood on: where a new link is to be had when this one has expired. It is shown, and never
    /// asked for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub page_url: Option<String>,
    /// The `User-Agent` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The most connections that this job may use at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 64))]
    pub connections: Option<u32>,
    /// Bytes per second at most, 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 9_223_372_036_854_775_807_i64))]
    pub bandwidth_limit: Option<u64>,
    /// Higher goes first. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -100, maximum = 100))]
    pub priority: Option<i32>,
    /// A word to find the job by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub label: Option<String>,
    /// Whether to start at once. Default: `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::start, required = false))]
    pub start: Option<Start>,
    /// What happens when the target exists. Default: `rename`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// What happens when the file changes on its server. Default: `restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_change: Option<OnChange>,
    /// The size in bytes that the file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 9_223_372_036_854_775_807_i64))]
    pub size: Option<u64>,
    /// The digest that the file must have, as `sha256:hex`; `sha512`, `blake3`, `sha1`, `md5` and `crc32c` are known, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(example = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )]
    pub checksum: Option<String>,
    /// Where a file is that holds the digest, such as `https://.../SHA256SUMS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub checksum_url: Option<String>,
    /// The digests that the file's pieces must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Pieces>,
    /// Where it is put among those of its priority that wait. Default: `bottom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::position_or_null, required = false))]
    pub position: Option<Position>,
    /// What happens when the same was submitted before. Default: `attach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_duplicate: Option<OnDuplicate>,
    /// How the file is asked for. Default: `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What a `POST` carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<RequestBody>,
    /// Cookies, each for the hosts that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookies: Option<Vec<Cookie>>,
    /// The proxy to use, as a URL with `http`, `https`, `socks5` or `socks5h`; `none` for no proxy. Default: the setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Hosts that are asked without the proxy, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// Do not look at the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// The address of the daemon's machine that requests come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source_address: Option<IpAddr>,
    /// Which of a server's addresses may be used. Default: `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<IpVersion>,
}

/// The digests of a file's pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Pieces {
    /// Their kind, such as `sha-256`.
    pub kind: String,
    /// Bytes of each piece but the last.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64))]
    pub length: u64,
    /// The digests in hexadecimal digits, in the order of the file.
    pub digests: Vec<String>,
}

impl SubmitJob {
    /// Makes the request for a URL with every default.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// All URLs with the fields that they stand in; the first one has the say.
    pub fn urls(&self) -> impl Iterator<Item = (String, &str)> {
        let url = self.url.iter().map(|url| ("url".to_owned(), url.as_str()));
        let mirrors = self.mirrors.iter().flatten().enumerate();
        url.chain(mirrors.map(|(index, url)| (format!("mirrors[{index}]"), url.as_str())))
    }

    /// The URL that has the say. Empty where there is none at all, which is not accepted.
    pub fn main_url(&self) -> &str {
        self.urls().next().map_or("", |(_, url)| url)
    }
}

impl fmt::Debug for SubmitJob {
    /// Leaves out the URLs, the referrer and the header values: people put passwords there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header_names: Vec<_> = self.headers.iter().flat_map(BTreeMap::keys).collect();
        f.debug_struct("SubmitJob")
            .field("mirrors", &self.mirrors.as_ref().map(Vec::len))
            .field("dir", &self.dir)
            .field("filename", &self.filename)
            .field("header_names", &header_names)
            .field("connections", &self.connections)
            .field("bandwidth_limit", &self.bandwidth_limit)
            .field("priority", &self.priority)
            .field("label", &self.label)
            .field("start", &self.start)
            .field("on_conflict", &self.on_conflict)
            .field("on_change", &self.on_change)
            .field("size", &self.size)
            .field("checksum", &self.checksum)
            .field("on_duplicate", &self.on_duplicate)
            .field("method", &self.method)
            .field("insecure", &self.insecure)
            .field("pieces", &self.pieces.as_ref().map(|pieces| pieces.digests.len()))
            .finish_non_exhaustive()
    }
}

/// What happens when the target file exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The new file gets another name.
    #[default]
    Rename,
    /// The new file replaces the old one once it is complete.
    Overwrite,
    /// The job is refused, or fails.
    Fail,
}

/// What happens when the file changes on its server while it is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// The job starts over, at most three times.
    #[default]
    Restart,
    /// The job fails and keeps what it has.
    Fail,
}

/// One job, or many of which each is accepted or refused by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitBody {
    /// `{"url": ...}` or `{"mirrors": [...]}`.
    One(Box<SubmitJob>),
    /// `{"jobs": [...]}`, item by item in the order given.
    Many(Vec<Result<SubmitJob, Problem>>),
}

impl SubmitBody {
    /// Reads the bytes of a request.
    ///
    /// # Errors
    ///
    /// A problem of the body as a whole; those of single items are inside [`Self::Many`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        Self::from_value(body::json(bytes)?)
    }

    /// Reads JSON that has been parsed already. The presence of `jobs` decides the shape.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_value(value: Value) -> Result<Self, Problem> {
        if value.get("jobs").is_none() {
            return one(value).map(|job| Self::One(Box::new(job)));
        }
        Ok(Self::Many(jobs_of(value)?.into_iter().map(one).collect()))
    }
}

/// Reads one job, which must say where its file is.
fn one(value: Value) -> Result<SubmitJob, Problem> {
    let job: SubmitJob = body::from_value(value)?;
    if job.urls().next().is_none() {
        let detail = "`url` is missing; `mirrors` can take its place";
        return Err(Problem::new(ProblemCode::InvalidValue, detail).with_field("url"));
    }
    Ok(job)
}

/// The items of a batch, still unread.
fn jobs_of(mut value: Value) -> Result<Vec<Value>, Problem> {
    // What is right needs no second look, which would take as long as all the rest.
    if let Some(body) = value.as_object_mut()
        && body.len() == 1
        && let Some(Value::Array(jobs)) = body.get_mut("jobs")
    {
        return Ok(std::mem::take(jobs));
    }
    let batch: Batch = body::from_value(value)?;
    Ok(batch.jobs)
}

/// A batch whose items are still unread, so that one bad item spoils only itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    jobs: Vec<Value>,
}

/// A batch on its way out.
#[derive(Serialize)]
pub(crate) struct BatchRef<'a> {
    pub(crate) jobs: &'a [SubmitJob],
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_survives_a_round_trip() {
        let body = json!({
            "url": "https://example.org/a.iso",
            "mirrors": ["https://example.net/a.iso"],
            "dir": "/srv/files",
            "filename": "a.iso",
            "headers": {"X-Key": "1"},
            "referrer": "https://example.org/",
            "page_url": "https://example.org/isos",
            "user_agent": "test",
            "connections": 8,
            "bandwidth_limit": 1_000_000,
            "priority": -5,
            "label": "isos",
            "start": "paused",
            "on_conflict": "overwrite",
            "on_change": "fail",
            "size": 4_700_000_000_u64,
            "checksum": "sha256:00",
            "checksum_url": "https://example.org/SHA256SUMS",
            "pieces": {"kind": "sha-1", "length": 262_144, "digests": ["00"]},
            "position": "top",
            "on_duplicate": "copy",
            "method": "POST",
            "body": {"text": "a=b"},
            "cookies": [{"name": "a", "value": "b", "domain": "example.org", "secure": true}],
            "proxy": "socks5h://127.0.0.1:1080",
            "no_proxy": "localhost,10.0.0.0/8",
            "insecure": true,
            "source_address": "127.0.0.1",
            "ip_version": "4",
        });
        let Ok(SubmitBody::One(job)) = SubmitBody::from_value(body.clone()) else {
            panic!("the body is one good job");
        };
        assert_eq!(job.start, Some(Start::Paused));
        assert_eq!(job.on_conflict, Some(OnConflict::Overwrite));
        assert_eq!(serde_json::to_value(job).expect("plain data"), body);
    }

    #[test]
    fn only_the_url_is_needed_and_null_is_absent() {
        let expected = SubmitBody::One(Box::new(SubmitJob::new("http://a/b")));
        for body in
            [json!({"url": "http://a/b"}), json!({"url": "http://a/b", "dir": null, "headers": null, "start": null})]
        {
            assert_eq!(SubmitBody::from_value(body), Ok(expected.clone()));
        }
        assert_eq!(
            serde_json::to_value(SubmitJob::new("http://a/b")).expect("plain data"),
            json!({"url": "http://a/b"})
        );
    }

    #[test]
    fn each_bad_field_is_named() {
        for (body, code, field) in [
            (json!({}), "invalid-value", "url"),
            (json!({"url": null, "mirrors": []}), "invalid-value", "url"),
            (json!({"url": 5}), "invalid-value", "url"),
            (json!({"mirrors": "u"}), "invalid-value", "mirrors"),
            (json!({"mirrors": ["u", 5]}), "invalid-value", "mirrors[1]"),
            (json!({"url": "u", "start": "later"}), "invalid-value", "start"),
            (json!({"url": "u", "headers": "A: b"}), "invalid-value", "headers"),
            (json!({"url": "u", "headers": {"A": 1}}), "invalid-value", "headers.A"),
            (
                json!({"url": "u", "pieces": {"kind": "md5", "length": -1, "digests": []}}),
                "invalid-value",
                "pieces.length",
            ),
            (json!({"url": "u", "ip_version": 4}), "invalid-value", "ip_version"),
            (json!({"url": "u", "source_address": "here"}), "invalid-value", "source_address"),
            (json!({"url": "u", "method": "DELETE"}), "invalid-value", "method"),
            (json!({"url": "u", "body": {"file": "/etc/passwd"}}), "unknown-field", "body.file"),
            (json!({"url": "u", "cookies": [{"name": "a"}]}), "invalid-value", "cookies[0].value"),
            (json!({"url": "u", "position": 0}), "invalid-value", "position"),
            (json!({"url": "u", "uri": "v"}), "unknown-field", "uri"),
            (json!({"jobs": {}}), "invalid-value", "jobs"),
            (json!({"jobs": null}), "invalid-value", "jobs"),
            (json!({"jobs": [], "url": "u"}), "unknown-field", "url"),
        ] {
            let problem = SubmitBody::from_value(body.clone()).expect_err("the body is wrong");
            assert_eq!(problem.code, code, "{body}");
            assert_eq!(problem.field.as_deref(), Some(field), "{body}");
        }
    }

    #[test]
    fn mirrors_come_behind_the_url_or_in_its_place() {
        let urls = |body: Value| {
            let Ok(SubmitBody::One(job)) = SubmitBody::from_value(body) else { panic!("the body is one good job") };
            job.urls().map(|(field, url)| format!("{field} {url}")).collect::<Vec<_>>()
        };
        assert_eq!(urls(json!({"url": "a", "mirrors": ["b", "c"]})), ["url a", "mirrors[0] b", "mirrors[1] c"]);
        assert_eq!(urls(json!({"mirrors": ["b", "c"]})), ["mirrors[0] b", "mirrors[1] c"]);
    }

    #[test]
    fn a_bad_word_is_answered_with_the_good_ones() {
        let body = json!({"url": "u", "on_conflict": "ask"});
        let problem = SubmitBody::from_value(body).expect_err("no such policy");
        assert_eq!(problem.detail, "`on_conflict` must be one of `rename`, `overwrite`, `fail`");
    }

    #[test]
    fn f_api_14_a_refusal_does_not_repeat_header_values() {
        for headers in [json!("Cookie: s3cret"), json!(["s3cret"])] {
            let body = json!({"url": "u", "headers": headers});
            let problem = SubmitBody::from_value(body).expect_err("not an object");
            assert_eq!(problem.detail, "`headers` must be an object");
        }
    }

    #[test]
    fn one_bad_item_spoils_only_itself() {
        let body = br#"{"jobs": [{"url": "http://a/1"}, {"url": 2}, 3, {"url": "http://a/4"}]}"#;
        let Ok(SubmitBody::Many(items)) = SubmitBody::parse(body) else {
            panic!("the body has `jobs`");
        };
        assert_eq!(items.len(), 4);
        assert_eq!(items[0], Ok(SubmitJob::new("http://a/1")));
        let problem = items[1].as_ref().expect_err("a number is no URL");
        assert_eq!(problem.field.as_deref(), Some("url"));
        assert_eq!(problem.status, 422);
        assert!(items[2].is_err());
        assert_eq!(items[3], Ok(SubmitJob::new("http://a/4")));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut job = SubmitJob::new("https://user:s3cret@a/b?sig=s3cret");
        job.mirrors = Some(vec!["https://a/?s3cret".to_owned()]);
        job.referrer = Some("https://a/?s3cret".to_owned());
        job.checksum_url = Some("https://a/?s3cret".to_owned());
        job.headers = Some(BTreeMap::from([("Cookie".to_owned(), "s3cret".to_owned())]));
        let shown = format!("{job:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("Cookie"), "{shown}");
    }
}
