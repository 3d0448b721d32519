//! Lists of what to download: URLs one a line, and what aria2 reads by `--input-file`.
//!
//! Several URLs of one file stand on one line, with tabs between them. Lines below it that begin with blanks are options of
//! that file, as `name=value`. Blank lines and those that begin with `#` say nothing.
//!
//! Options have aria2's names and mean what they mean there. What cannot be honoured is an error that names the option; what
//! has no bearing on the file that arrives is passed over, and told.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::{OnConflict, Rate, Start, SubmitJob};

/// What a list asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The lines of the files, counted from 1, and what is asked for there. The URLs are as they were written.
    pub jobs: Vec<(usize, SubmitJob)>,
    /// Lines and names of options that mean nothing here.
    pub passed_over: Vec<(usize, String)>,
}

/// Why a list cannot be used. The text repeats no value: it may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct InputError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there, and what helps.
    pub problem: String,
}

/// Reads a list.
///
/// # Errors
///
/// The first line that cannot be used.
pub fn read(text: &str) -> Result<Listed, InputError> {
    let mut listed = Listed::default();
    // Only the file above.
    let mut user = Credentials::default();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line_number = index + 1;
        let said = line.trim();
        if said.is_empty() || said.starts_with('#') {
            continue;
        }
        let wrong = |problem: String| InputError { line: line_number, problem };
        // No option has such a name, so what was only indented is a file, too.
        let is_file = !line.starts_with([' ', '\t']) || said.starts_with("http://") || said.starts_with("https://");
        if is_file {
            listed.jobs.push((line_number, of_urls(said)));
            user = Credentials::default();
            continue;
        }
        let Some((_, job)) = listed.jobs.last_mut() else {
            return Err(wrong(
                "an option stands before the first URL; a line with a URL must not be indented".to_owned(),
            ));
        };
        let (name, value) = said.split_once('=').map(|(name, value)| (name.trim(), value.trim())).ok_or_else(|| {
            wrong("an indented line is an option of the URL above, and must be of the form `name=value`".to_owned())
        })?;
        if PASSED_OVER.contains(&name) {
            listed.passed_over.push((line_number, name.to_owned()));
        } else {
            option(job, &mut user, name, value).map_err(wrong)?;
        }
    }
    Ok(listed)
}

/// The file that is to be had at each of these URLs.
fn of_urls(line: &str) -> SubmitJob {
    let mut urls = line.split('\t').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned);
    let url = urls.next();
    let mirrors: Vec<_> = urls.collect();
    SubmitJob { url, mirrors: (!mirrors.is_empty()).then_some(mirrors), ..SubmitJob::default() }
}

/// A user and a password, which are said one after the other.
#[derive(Default)]
struct Credentials {
    user: String,
    password: String,
}

fn option(job: &mut SubmitJob, user: &mut Credentials, name: &str, value: &str) -> Result<(), String> {
    let must = |what: &str| format!("the option `{name}` {what}");
    let text = || Some(value.to_owned());
    let flag = || value.parse::<bool>().map_err(|_| must("must be `true` or `false`"));
    match name {
        "dir" if !value.is_empty() => job.dir = text(),
        "out" if value.contains('/') => return Err(must("names a file; `dir` names its directory")),
        "out" if !value.is_empty() => job.filename = text(),
        "header" => header(job, value).ok_or_else(|| must("must be of the form `Name: value`"))?,
        "referer" if value == "*" => job.referrer.clone_from(&job.url),
        "referer" => job.referrer = text(),
        "user-agent" => job.user_agent = text(),
        "checksum" => {
            let (kind, hex) = value.split_once('=').ok_or_else(|| must("must be of the form `sha-256=HEX`"))?;
            job.checksum = Some(format!("{kind}:{hex}"));
        }
        "max-download-limit" => {
            job.bandwidth_limit = Some(rate(value).ok_or_else(|| must("must be a rate such as `500K` or `2M`"))?);
        }
        "split" | "max-connection-per-server" => {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(|| must("must be a number from 1"))?.min(crate::config::CONNECTIONS_MAX);
            job.connections = Some(job.connections.map_or(number, |other| other.min(number)));
        }
        "pause" => job.start = flag()?.then_some(Start::Paused),
        "all-proxy" | "http-proxy" | "https-proxy" => job.proxy = text(),
        "no-proxy" => job.no_proxy = text(),
        "check-certificate" => job.insecure = (!flag()?).then_some(true),
        "allow-overwrite" => {
            if flag()? {
                job.on_conflict = Some(OnConflict::Overwrite);
            }
        }
        // Who permits to overwrite has said so.
        "auto-file-renaming" => {
            if !flag()? && job.on_conflict.is_none() {
                job.on_conflict = Some(OnConflict::Fail);
            }
        }
        "http-user" => {
            value.clone_into(&mut user.user);
            log_in(job, user);
        }
        "http-passwd" => {
            value.clone_into(&mut user.password);
            log_in(job, user);
        }
        "label" => job.label = text(),
        "priority" => job.priority = Some(value.parse().map_err(|_| must("must be a whole number"))?),
        "dir" | "out" => return Err(must("must not be empty")),
        _ => {
            let is_name = name.len() <= NAME_BYTES_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let named = if is_name { format!("`{name}`") } else { "with that name".to_owned() };
            return Err(format!("there is no option {named}; there are {}", OPTIONS.join(", ")));
        }
    }
    Ok(())
}

/// Adds a request header; the same one again counts instead of the first.
fn header(job: &mut SubmitJob, line: &str) -> Option<()> {
    let (name, value) = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()))?;
    set_header(job.headers.get_or_insert_default(), name, value);
    (!name.is_empty()).then_some(())
}

fn set_header(headers: &mut BTreeMap<String, String>, name: &str, value: &str) {
    headers.retain(|known, _| !known.eq_ignore_ascii_case(name));
    headers.insert(name.to_owned(), value.to_owned());
}

fn log_in(job: &mut SubmitJob, Credentials { user, password }: &Credentials) {
    let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
    set_header(job.headers.get_or_insert_default(), "Authorization", &format!("Basic {basic}"));
}

/// Bytes per second as aria2 writes them, where `K` and `M` are powers of 1,024, or as haul does.
fn rate(text: &str) -> Option<u64> {
    let units = [("K", 1 << 10), ("k", 1 << 10), ("M", 1 << 20), ("m", 1 << 20)];
    let in_units = units.into_iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(bytes)
    });
    in_units.or_else(|| text.parse::<Rate>().ok().map(|rate| rate.0))
}

/// How much of an option's name is told.
const NAME_BYTES_MAX: usize = 40;

/// The options that are honoured.
const OPTIONS: [&str; 21] = [
    "all-proxy",
    "allow-overwrite",
    "auto-file-renaming",
    "check-certificate",
    "checksum",
    "dir",
    "header",
    "http-passwd",
    "http-proxy",
    "http-user",
    "https-proxy",
    "label",
    "max-connection-per-server",
    "max-download-limit",
    "no-proxy",
    "out",
    "pause",
    "priority",
    "referer",
    "split",
    "user-agent",
];

/// Options of aria2 that decide how it works, not what arrives (aria2c(1), "Options", and what `--save-session` writes).
const PASSED_OVER: [&str; 27] = [
    "allow-piece-length-change",
    "always-resume",
    "async-dns",
    "connect-timeout",
    "continue",
    "enable-http-keep-alive",
    "enable-http-pipelining",
    "file-allocation",
    "force-save",
    "gid",
    "http-accept-gzip",
    "http-no-cache",
    "lowest-speed-limit",
    "max-file-not-found",
    "max-resume-failure-tries",
    "max-tries",
    "min-split-size",
    "no-netrc",
    "piece-length",
    "realtime-chunk-checksum",
    "remote-time",
    "retry-wait",
    "reuse-uri",
    "stream-piece-selector",
    "timeout",
    "uri-selector",
    "use-head",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_mirrors_and_options() {
        let text = "\u{feff}# isos\r\nhttp://a/1\thttps://b/1\r\n  dir=/srv/iso\r\n  out=one.iso\r\n  header=X-A: b:c\r\n\
                    \theader=x-a: d\r\n  checksum=sha-256=00ff\r\n\r\n  # a remark\r\n  split=200\r\n  pause=true\r\n\
                    \x20 max-download-limit=2M\r\n  gid=2089b05ecca3d829\r\n  referer=*\r\nhttp://a/2\r\n  https://a/3  \r\n";
        let listed = read(text).expect("a good list");
        let one = SubmitJob {
            mirrors: Some(vec!["https://b/1".to_owned()]),
            dir: Some("/srv/iso".to_owned()),
            filename: Some("one.iso".to_owned()),
            headers: Some(BTreeMap::from([("x-a".to_owned(), "d".to_owned())])),
            referrer: Some("http://a/1".to_owned()),
            checksum: Some("sha-256:00ff".to_owned()),
            connections: Some(64),
            bandwidth_limit: Some(2 << 20),
            start: Some(Start::Paused),
            ..SubmitJob::new("http://a/1")
        };
        let others = [(15, SubmitJob::new("http://a/2")), (16, SubmitJob::new("https://a/3"))];
        assert_eq!(listed.jobs[0], (2, one));
        assert_eq!(listed.jobs[1..], others);
        assert_eq!(listed.passed_over, [(13, "gid".to_owned())]);
    }

    #[test]
    fn what_cannot_be_honoured_is_named_with_its_line_and_nothing_secret() {
        for (options, part) in [
            ("bt-tracker=s3cret", "no option `bt-tracker`; there are all-proxy"),
            ("s3cret s3cret=1", "no option with that name"),
            ("s3cret", "`name=value`"),
            ("out=a/s3cret", "`dir`"),
            ("dir=", "`dir` must not be empty"),
            ("header=s3cret", "`header`"),
            ("header=: s3cret", "`header`"),
            ("checksum=s3cret", "`sha-256=HEX`"),
            ("split=0", "`split`"),
            ("max-download-limit=s3cret", "`2M`"),
            ("pause=s3cret", "`true` or `false`"),
            ("priority=s3cret", "`priority`"),
        ] {
            let error = read(&format!("http://a/\n {options}\n")).expect_err(options).to_string();
            assert!(error.starts_with("line 2: ") && error.contains(part), "{options}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let error = read("\n dir=/srv\nhttp://a/").expect_err("no URL above").to_string();
        assert!(error.starts_with("line 2: an option stands before the first URL"), "{error}");
    }

    #[test]
    fn a_user_and_a_password_become_a_header_of_their_file_alone() {
        let listed =
            read("http://a/1\n http-user=ann\n http-passwd=pw\nhttp://a/2\n http-passwd=x").expect("a good list");
        let header =
            |index: usize| listed.jobs[index].1.headers.as_ref().map(|headers| headers["Authorization"].as_str());
        assert_eq!((header(0), header(1)), (Some("Basic YW5uOnB3"), Some("Basic Ong=")));
    }

    #[test]
    fn whether_a_file_is_replaced_is_said_by_two_options() {
        for (options, expected) in [
            ("allow-overwrite=true", Some(OnConflict::Overwrite)),
            ("auto-file-renaming=false", Some(OnConflict::Fail)),
            ("auto-file-renaming=true", None),
            ("allow-overwrite=true\n auto-file-renaming=false", Some(OnConflict::Overwrite)),
            ("auto-file-renaming=false\n allow-overwrite=true", Some(OnConflict::Overwrite)),
        ] {
            let listed = read(&format!("http://a/\n {options}")).expect("a good list");
            assert_eq!(listed.jobs[0].1.on_conflict, expected, "{options}");
        }
    }

    #[test]
    fn every_option_that_is_named_is_known() {
        for name in OPTIONS {
            let error = option(&mut SubmitJob::default(), &mut Credentials::default(), name, "").err();
            assert!(error.is_none_or(|error| !error.contains("no option")), "{name}");
        }
        for (text, bytes) in [("0", 0), ("1K", 1024), ("500KB", 500_000), ("7", 7)] {
            assert_eq!(rate(text), Some(bytes), "{text}");
        }
    }
}
