//! What the options of a new job mean. What haul does not know, and what is no text, is passed over, as aria2 does.

use std::collections::BTreeMap;

use haul_api::{OnConflict, OnDuplicate, Start, SubmitJob};
use haul_transfer::try_repair;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::fault::Fault;
use super::secret::{Secrets, is_placeholder};
use crate::config::CONNECTIONS_MAX;
use crate::submit::{basic_login, has_userinfo, is_forbidden_header};

/// What aria2's `referer` has for the URL itself.
const REFERRER_IS_URL: &str = "*";

/// Options by name, each with one text or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given(BTreeMap<String, Vec<String>>);

impl Given {
    /// Those of a call, and `defaults` for what it does not say.
    pub(super) fn of(options: Option<&Map<String, Value>>, defaults: &BTreeMap<String, String>) -> Self {
        let mut given: BTreeMap<_, _> =
            defaults.iter().map(|(name, text)| (name.clone(), vec![text.clone()])).collect();
        for (name, value) in options.into_iter().flatten() {
            match value {
                Value::String(text) => {
                    given.insert(name.clone(), vec![text.clone()]);
                }
                Value::Array(list) => {
                    let texts = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                    given.insert(name.clone(), texts);
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
            }
        }
        Self(given)
    }

    /// All texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(String::as_str)
    }

    /// The last text of an option that says something.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Fault::option(name, "It must be `true` or `false`.")),
        }
    }

    /// A number of bytes, with `K` or `M` for 1,024 or 1,048,576 of them.
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        self.text(name).map(|text| size(name, text)).transpose()
    }

    /// A number from 1 on.
    pub(super) fn count(&self, name: &str) -> Result<Option<u32>, Fault> {
        let count = |text: &str| {
            let number = text.parse::<u32>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| Fault::option(name, "It must be a number from 1 on."))
        };
        self.text(name).map(count).transpose()
    }

    /// Connections, where anything is said of them: aria2 has a number for all and one for each server.
    pub(super) fn connections(&self, places: usize) -> Result<Option<u32>, Fault> {
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let all = self.count("split")?;
        let by_servers = self.count("max-connection-per-server")?.map(|each| each.saturating_mul(places));
        Ok(all.into_iter().chain(by_servers).min().map(|number| number.min(CONNECTIONS_MAX)))
    }

    /// The header lines, those in one text too: name and value. What REST refuses, or says nothing, is left out.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let lines = self.0.get("header").into_iter().flatten().flat_map(|text| text.split(['\r', '\n']));
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            let is_good = HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
            let is_wanted = is_good && !value.is_empty() && !is_forbidden_header(&name) && !is_of_no_use(&name);
            is_wanted.then(|| (name, value.to_owned()))
        };
        lines.filter_map(header).collect()
    }

    /// The job that these options make of the files at `urls`, of which the first has the say.
    pub(super) fn job(&self, urls: Vec<String>, secrets: &Secrets, may_overwrite: bool) -> Result<SubmitJob, Fault> {
        let main = urls.first().and_then(|text| Url::parse(text).ok());
        let mut job = SubmitJob { on_duplicate: Some(OnDuplicate::Copy), ..SubmitJob::default() };
        (job.dir, job.filename) = self.target();
        job.connections = self.connections(urls.len())?;
        job.bandwidth_limit = self.size("max-download-limit")?;
        job.checksum = self.text("checksum").map(|text| text.replacen('=', ":", 1));
        job.on_conflict = self.on_conflict(may_overwrite)?;
        job.start = self.flag("pause")?.unwrap_or_default().then_some(Start::Paused);
        if let Some(url) = &main {
            self.add_headers(&mut job, url, secrets);
            job.proxy = self.proxy(url, secrets);
        }
        job.no_proxy = self.text("no-proxy").map(str::to_owned);
        let mut urls = urls.into_iter();
        job.url = urls.next();
        job.mirrors = Some(urls.collect()).filter(|urls: &Vec<String>| !urls.is_empty());
        Ok(job)
    }

    /// Directory and name. `out` may have directories of its own. Its name comes from a server by way of a browser, so it is
    /// repaired like that of a server.
    fn target(&self) -> (Option<String>, Option<String>) {
        let dir = self.text("dir");
        let Some(out) = self.text("out") else { return (dir.map(str::to_owned), None) };
        let (below, name) = match out.rsplit_once('/') {
            Some((below, name)) => (Some(below.trim_matches('/')).filter(|below| !below.is_empty()), name),
            None => (None, out),
        };
        let dir = match (dir, below) {
            (Some(dir), Some(below)) => Some(format!("{}/{below}", dir.trim_end_matches('/'))),
            (dir, below) => dir.or(below).map(str::to_owned),
        };
        (dir, try_repair(name))
    }

    fn on_conflict(&self, may_overwrite: bool) -> Result<Option<OnConflict>, Fault> {
        let overwrite = self.flag("allow-overwrite")?.unwrap_or_default();
        let renames = self.flag("auto-file-renaming")?.unwrap_or(true);
        Ok(match (overwrite && may_overwrite, renames) {
            (true, _) => Some(OnConflict::Overwrite),
            (false, false) => Some(OnConflict::Fail),
            (false, true) => None,
        })
    }

    fn add_headers(&self, job: &mut SubmitJob, url: &Url, secrets: &Secrets) {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, text) in self.headers() {
            let Some(value) = self.header_value(job, &name, &text, url, secrets) else { continue };
            match name.as_str() {
                "user-agent" => job.user_agent = Some(value),
                "referer" => job.referrer = Some(value),
                "cookie" if headers.contains_key("cookie") => {
                    let cookies = headers.entry(name).or_default();
                    *cookies = format!("{cookies}; {value}");
                }
                _ => {
                    headers.insert(name, value);
                }
            }
        }
        if let Some(text) = self.text("user-agent")
            && HeaderValue::from_str(text).is_ok()
        {
            job.user_agent = job.user_agent.take().or_else(|| Some(text.to_owned()));
        }
        match self.text("referer") {
            Some(REFERRER_IS_URL) => job.referrer = Some(url.as_str().to_owned()),
            Some(text) => job.referrer = job.referrer.take().or_else(|| secrets.referrer(text, url)),
            None => {}
        }
        job.referrer = job.referrer.take().filter(|text| HeaderValue::from_str(text).is_ok());
        if has_userinfo(url) {
            // It says the same, and the URL counts.
            headers.remove("authorization");
        }
        let has_login = headers.contains_key("authorization") || has_userinfo(url);
        if let Some(user) = self.text("http-user").filter(|_| !has_login) {
            let password = self.text("http-passwd").unwrap_or_default();
            headers.insert("authorization".to_owned(), basic_login(user, password));
        }
        job.headers = Some(headers).filter(|headers| !headers.is_empty());
    }

    /// What a header line says. One that stands for a secret may stand for what another job was given otherwise.
    fn header_value(
        &self,
        job: &mut SubmitJob,
        name: &str,
        text: &str,
        url: &Url,
        secrets: &Secrets,
    ) -> Option<String> {
        let value = match name {
            "referer" => secrets.referrer(text, url),
            _ => secrets.header(name, text, url),
        };
        match name {
            "authorization" if is_placeholder(text) => value.or_else(|| secrets.login(text, url)),
            "cookie" if is_placeholder(text) && value.is_none() => {
                job.cookies = secrets.cookies(text, url);
                None
            }
            _ => value,
        }
    }

    /// The proxy for a URL: that of its scheme, else that of all.
    fn proxy(&self, url: &Url, secrets: &Secrets) -> Option<String> {
        let own = format!("{}-proxy", url.scheme());
        let (name, text) = [own.as_str(), "all-proxy"].into_iter().find_map(|name| Some((name, self.text(name)?)))?;
        let text = secrets.proxy(text)?;
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        let Some(user) = self.text(&format!("{name}-user")) else { return Some(text) };
        let mut url = Url::parse(&text).ok()?;
        let password = self.text(&format!("{name}-passwd"));
        // Both fail only where there is no host, and that is said later.
        let _kept: Result<(), ()> = url.set_username(user).and_then(|()| url.set_password(password));
        Some(url.into())
    }
}

/// A number of bytes.
pub(super) fn size(name: &str, text: &str) -> Result<u64, Fault> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(_) | None => (text, 1_u64),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = digits.parse::<u64>().ok().filter(|_| is_number).and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| Fault::option(name, "It must be a number of bytes, such as `100K` or `5M`."))
}

/// What belongs to a request with a body, or to a connection, and browsers send along.
fn is_of_no_use(name: &str) -> bool {
    matches!(name, "content-type" | "content-encoding" | "trailer" | "keep-alive")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(options: Value) -> Given {
        let Value::Object(options) = options else { panic!("an object") };
        Given::of(Some(&options), &BTreeMap::new())
    }

    fn job(options: Value) -> SubmitJob {
        let urls = vec!["https://a.example/f".to_owned()];
        given(options).job(urls, &Secrets::default(), true).expect("good options")
    }

    #[test]
    fn headers_come_in_many_forms_and_some_are_left_out() {
        let expected = Some(BTreeMap::from([("cookie".to_owned(), "a=b".to_owned())]));
        for header in [
            json!(["Cookie: a=b", "User-Agent: M/5"]),
            json!("Cookie: a=b\nUser-Agent: M/5"),
            json!("Cookie: a=b\r\nUser-Agent: M/5\r\n"),
            json!([null, "cookie:a=b", null, "user-agent:M/5", 7, "Referer: ", "X-A:"]),
            json!([
                "Cookie: a=b",
                "User-Agent: M/5",
                "Accept-Encoding: gzip, br, zstd",
                "Range: bytes=0-1",
                "TE: x",
                "If-None-Match: x",
                "Host: evil",
                "Connection: close",
                "Proxy-Authorization: x",
                "Content-Type: x",
                "Content-Length: 1",
                "a b: c",
                "no header",
                "X-Odd: \u{1}"
            ]),
        ] {
            let job = job(json!({"header": header}));
            assert_eq!(job.headers, expected, "{header}");
            assert_eq!((job.user_agent.as_deref(), job.referrer), (Some("M/5"), None), "{header}");
        }
        let two = job(json!({"header": ["Cookie: a=b", "Cookie: c=d"]}));
        assert_eq!(two.headers.expect("one header")["cookie"], "a=b; c=d");
    }

    #[test]
    fn what_is_said_of_the_file_is_understood() {
        let target = |options| {
            let job = job(options);
            (job.dir, job.filename)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(target(json!({"dir": null, "out": "a.bin"})), (None, some("a.bin")));
        assert_eq!(target(json!({"dir": "/d/", "out": "b/c/a.bin"})), (some("/d/b/c"), some("a.bin")));
        assert_eq!(target(json!({"out": "b/a.bin"})), (some("b"), some("a.bin")));
        assert_eq!(target(json!({"out": "/b/a.bin"})), (some("b"), some("a.bin")));
        assert_eq!(target(json!({"out": "../a.bin"})), (some(".."), some("a.bin")), "the roots refuse it");
        assert_eq!(target(json!({"out": ""})), (None, None));
        assert_eq!(target(json!({"out": "a:b?.bin"})), (None, some("a_b_.bin")), "as that of a server");
        let sum = "a".repeat(64);
        let job = job(json!({"checksum": format!("sha-256={sum}"), "pause": "true", "max-download-limit": "100K"}));
        assert_eq!((job.checksum, job.bandwidth_limit), (Some(format!("sha-256:{sum}")), Some(102_400)));
        assert_eq!(job.start, Some(Start::Paused));
    }

    #[test]
    fn connections_are_what_both_numbers_allow() {
        let connections = |options| given(options).connections(2);
        assert_eq!(connections(json!({})), Ok(None));
        assert_eq!(connections(json!({"split": "8"})), Ok(Some(8)));
        assert_eq!(connections(json!({"split": "64", "max-connection-per-server": "16"})), Ok(Some(32)));
        assert_eq!(connections(json!({"split": "1000"})), Ok(Some(CONNECTIONS_MAX)));
        assert_eq!(connections(json!({"split": 3})), Ok(None), "what is no text is passed over");
        for wrong in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            assert!(connections(json!({"split": wrong})).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_overwritten_only_by_whoever_may() {
        let on_conflict = |options, may| given(options).on_conflict(may).expect("flags");
        assert_eq!(on_conflict(json!({}), true), None);
        assert_eq!(on_conflict(json!({"allow-overwrite": "true"}), true), Some(OnConflict::Overwrite));
        assert_eq!(on_conflict(json!({"allow-overwrite": "true"}), false), None);
        assert_eq!(on_conflict(json!({"auto-file-renaming": "false"}), true), Some(OnConflict::Fail));
    }

    #[test]
    fn a_login_and_a_proxy_are_understood() {
        let job = job(json!({"http-user": "ann", "http-passwd": "p", "all-proxy": "h:1", "all-proxy-user": "u",
            "all-proxy-passwd": "p@"}));
        // `printf 'ann:p' | base64`
        assert_eq!(job.headers.expect("a header")["authorization"], "Basic YW5uOnA=");
        assert_eq!(job.proxy.as_deref(), Some("http://u:p%40@h:1/"));
        let of_scheme = given(json!({"all-proxy": "http://a:1", "https-proxy": "http://b:1"}));
        let url = |text| Url::parse(text).expect("a URL");
        assert_eq!(of_scheme.proxy(&url("https://h/"), &Secrets::default()).as_deref(), Some("http://b:1"));
        assert_eq!(of_scheme.proxy(&url("http://h/"), &Secrets::default()).as_deref(), Some("http://a:1"));
    }

    #[test]
    fn sizes_have_two_units() {
        for (text, bytes) in [("0", 0), ("100", 100), ("1K", 1024), ("2m", 2 << 20)] {
            assert_eq!(size("x", text), Ok(bytes));
        }
        for wrong in ["abc", "K", "-1", "+1", "1G", "1.5M", "99999999999999999999", "18446744073709551615K"] {
            assert!(size("x", wrong).is_err(), "{wrong}");
        }
    }
}
