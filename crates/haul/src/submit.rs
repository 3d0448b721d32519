//! Turns URLs and options into what the daemon is asked for, and finds mistakes before anything is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use haul_api::{Cookie, IpVersion, Method, RequestBody, Start, SubmitJob};
use hauld::input::{self, InputError};
use hauld::metalink;
use serde_json::json;
use url::Url;

use crate::adopt::Refused;
use crate::args::{Add, Get, JobOptions};
use crate::cookies;
use crate::error::Failure;
use crate::expand;
use crate::out::Out;
use crate::text::{escaped, shown_url};

/// What a command asks for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) jobs: Vec<SubmitJob>,
    /// Files of Metalinks that cannot be asked for.
    pub(crate) refused: Vec<Refused>,
    /// What a person should know about it.
    pub(crate) notes: Vec<String>,
}

/// What `haul add` asks for.
pub(crate) fn for_add(add: &Add, is_local: bool) -> Result<Wishes, Failure> {
    let mut wishes = Wishes::of(&add.urls, add.many.expand)?;
    if let Some(input) = &add.input {
        wishes.read_list(&read_input(input)?, input, is_local)?;
    }
    if wishes.jobs.is_empty() && wishes.refused.is_empty() {
        return Err(Failure::usage("there is no URL in the input"));
    }
    let target = Target::of(&add.options, wishes.jobs.len())?;
    let dir = match target.dir {
        // On another machine the directory may well be one that is not there here.
        Some(dir) if is_local => Some(absolute(&dir)?),
        other => other,
    };
    let template = template(&add.options, target.filename, wishes.jobs.len())?;
    let template = SubmitJob { dir: dir.map(text_of).transpose()?, ..template };
    Ok(wishes.all_like(&when_added(add, template)))
}

/// What `haul add --curl` asks for: what the command line says, and what the options say besides.
pub(crate) fn for_curl(add: &Add, is_local: bool) -> Result<Wishes, Failure> {
    let text = read_input("-".as_ref())?;
    let said = hauld::curl::read(text.trim().as_bytes()).map_err(|error| Failure::usage(error.to_string()))?;
    let target = Target::of(&add.options, 1)?;
    // curl saves where it is called.
    let dir = match target.dir.or_else(|| said.dir.clone().map(PathBuf::from)) {
        Some(dir) if is_local => Some(absolute(&dir)?),
        other => other,
    };
    let wanted = template(&add.options, target.filename, 1)?;
    let headers = said.headers.into_iter().chain(wanted.headers).reduce(merged);
    let job = SubmitJob {
        url: said.url,
        dir: dir.map(text_of).transpose()?,
        filename: wanted.filename.or(said.filename),
        headers,
        referrer: wanted.referrer.or(said.referrer),
        user_agent: wanted.user_agent.or(said.user_agent),
        bandwidth_limit: wanted.bandwidth_limit.or(said.bandwidth_limit),
        method: wanted.method.or(said.method),
        body: wanted.body.or(said.body),
        proxy: wanted.proxy.or(said.proxy),
        no_proxy: wanted.no_proxy.or(said.no_proxy),
        insecure: wanted.insecure.or(said.insecure),
        source_address: wanted.source_address.or(said.source_address),
        ip_version: wanted.ip_version.or(said.ip_version),
        ..wanted
    };
    Ok(Wishes { jobs: vec![when_added(add, job)], ..Wishes::default() })
}

/// What `haul probe` asks for.
pub(crate) fn for_probe(url: &str, options: &JobOptions) -> Result<SubmitJob, Failure> {
    let url = check(url).map_err(|what| not_a_url(&what, url))?;
    Ok(SubmitJob { url: Some(url), ..template(options, None, 1)? })
}

/// When it starts, and beside which jobs.
fn when_added(add: &Add, job: SubmitJob) -> SubmitJob {
    SubmitJob {
        start: add.start_at.map(Start::At).or(add.paused.then_some(Start::Paused)),
        on_duplicate: add.on_duplicate.map(Into::into),
        position: add.position,
        ..job
    }
}

/// What `haul get` asks for: each file once, all into a directory that exists.
pub(crate) fn for_get(get: &Get) -> Result<(PathBuf, Wishes), Failure> {
    let mut wishes = Wishes::of(&get.urls, get.many.expand)?;
    let mut seen = BTreeSet::new();
    // The same URL in another spelling would be the same job twice.
    wishes.jobs.retain(|job| seen.insert((Url::parse(job.main_url()).ok(), job.filename.clone())));
    let target = Target::of(&get.options, wishes.jobs.len())?;
    let mut dir = absolute(&target.dir.unwrap_or_else(|| ".".into()))?;
    if !get.many.dry_run {
        fs::create_dir_all(&dir).map_err(|error| Failure::local("create the directory", &dir, &error))?;
        dir = fs::canonicalize(&dir).map_err(|error| Failure::local("open the directory", &dir, &error))?;
    }
    let template = template(&get.options, target.filename, wishes.jobs.len())?;
    let template = SubmitJob { dir: Some(text_of(dir.clone())?), ..template };
    Ok((dir, wishes.all_like(&template)))
}

impl Wishes {
    /// Reads URLs, which may be patterns where they are to be expanded, and names of Metalinks that lie here.
    fn of(words: &[String], expand: bool) -> Result<Self, Failure> {
        let mut wishes = Self::default();
        for word in words {
            if is_metalink(word) {
                wishes.read_metalink(word.as_ref())?;
            } else if expand {
                let urls = expand::expand(word).map_err(|what| {
                    Failure::usage(what).with_help("without --expand, brackets and braces are taken as they are")
                })?;
                wishes.jobs.extend(checked(&urls)?.into_iter().map(SubmitJob::new));
            } else {
                let url = check(word).map_err(|what| not_a_url(&what, word))?;
                if expand::is_pattern(word) {
                    let shown = shown_url(word);
                    wishes.notes.push(format!("`{shown}` is taken as it is; --expand would make several URLs of it"));
                }
                wishes.jobs.push(SubmitJob::new(url));
            }
        }
        Ok(wishes)
    }

    /// Reads a list of URLs with their options.
    fn read_list(&mut self, text: &str, path: &Path, is_local: bool) -> Result<(), Failure> {
        let place = path.display().to_string();
        let place = escaped(&place);
        let listed = input::read(text)
            .map_err(|InputError { line, problem }| Failure::usage(format!("line {line} of `{place}`: {problem}")))?;
        for (line, mut job) in listed.jobs {
            for (_, url) in job.urls() {
                check(url).map_err(|what| not_a_url(&format!("line {line} of `{place}`: {what}"), url))?;
            }
            if let Some(dir) = job.dir.take() {
                job.dir = Some(if is_local { text_of(absolute(dir.as_ref())?)? } else { dir });
            }
            self.jobs.push(job);
        }
        for (line, name) in listed.passed_over {
            self.notes.push(format!("line {line} of `{place}`: `{name}` means nothing here and is passed over"));
        }
        Ok(())
    }

    fn read_metalink(&mut self, path: &Path) -> Result<(), Failure> {
        let document = fs::read(path).map_err(|error| Failure::local("read", path, &error))?;
        let shown = escaped(&path.display().to_string()).into_owned();
        let files = metalink::read(&document).map_err(|error| Failure::usage(format!("`{shown}`, {error}")))?;
        for file in files {
            let name = escaped(&file.name).into_owned();
            match file.entry() {
                Ok(entry) => {
                    if entry.urls_dropped > 0 {
                        let (used, all) = (entry.job.urls().count(), entry.job.urls().count() + entry.urls_dropped);
                        self.notes.push(format!("`{name}`: {used} of the {all} URLs in `{shown}` are used"));
                    }
                    self.jobs.push(entry.job);
                }
                Err(problem) => self.refused.push(Refused { what: shown.clone(), problem }),
            }
        }
        Ok(())
    }

    /// Has all jobs done like this one. It counts more than what a Metalink says, and less than what a list says of one
    /// file.
    fn all_like(mut self, template: &SubmitJob) -> Self {
        for job in &mut self.jobs {
            let one = std::mem::take(job);
            let mirrors: Vec<_> = one.mirrors.into_iter().chain(template.mirrors.clone()).flatten().collect();
            let headers = match (one.headers, template.headers.clone()) {
                (Some(own), Some(all)) => Some(merged(all, own)),
                (own, all) => own.or(all),
            };
            *job = SubmitJob {
                url: one.url,
                mirrors: (!mirrors.is_empty()).then_some(mirrors),
                filename: template.filename.clone().or(one.filename),
                size: template.size.or(one.size),
                // A checksum of the user's own, or where it is to be had, counts more.
                checksum: template.checksum.clone().or(one.checksum.filter(|_| template.checksum_url.is_none())),
                pieces: one.pieces,
                dir: one.dir.or_else(|| template.dir.clone()),
                headers,
                referrer: one.referrer.or_else(|| template.referrer.clone()),
                user_agent: one.user_agent.or_else(|| template.user_agent.clone()),
                connections: one.connections.or(template.connections),
                bandwidth_limit: one.bandwidth_limit.or(template.bandwidth_limit),
                priority: one.priority.or(template.priority),
                label: one.label.or_else(|| template.label.clone()),
                start: one.start.or(template.start),
                on_conflict: one.on_conflict.or(template.on_conflict),
                proxy: one.proxy.or_else(|| template.proxy.clone()),
                no_proxy: one.no_proxy.or_else(|| template.no_proxy.clone()),
                insecure: one.insecure.or(template.insecure),
                ..template.clone()
            };
        }
        self
    }

    /// What would be asked for, for a person or a program to look at before it is.
    pub(crate) fn preview(&self, out: &Out) -> Result<(), Failure> {
        let urls = |job: &SubmitJob| job.urls().map(|(_, url)| url.to_owned()).collect::<Vec<_>>();
        if out.is_json() {
            let jobs = self.jobs.iter().map(|job| json!({"urls": urls(job), "dir": job.dir, "filename": job.filename}));
            return out.json(&json!({"jobs": jobs.collect::<Vec<_>>()}));
        }
        self.jobs.iter().try_for_each(|job| out.foreign(&urls(job).join("\t")))
    }
}

/// Headers with others, which count more.
fn merged(mut headers: BTreeMap<String, String>, others: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, value) in others {
        headers.retain(|known, _| !known.eq_ignore_ascii_case(&name));
        headers.insert(name, value);
    }
    headers
}

/// Whether this names a file that is a Metalink, not a URL where one may be.
fn is_metalink(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    let has_name = extension.is_some_and(|it| METALINK_EXTENSIONS.iter().any(|known| it.eq_ignore_ascii_case(known)));
    has_name && !word.contains("://")
}

/// What the names of Metalinks end with; the older one is that of version 3 and says nothing for sure.
const METALINK_EXTENSIONS: [&str; 2] = ["meta4", "metalink"];

/// Where a file goes: `--dir` and `--output`, of which the latter may bring a directory along.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    dir: Option<PathBuf>,
    filename: Option<String>,
}

impl Target {
    fn of(options: &JobOptions, urls: usize) -> Result<Self, Failure> {
        let dir = options.dir.clone();
        let Some(output) = &options.output else { return Ok(Self { dir, filename: None }) };
        if urls > 1 {
            let failure = Failure::usage(format!("--output names one file, but there are {urls} of them"));
            return Err(failure.with_help("`--dir DIR` says where all of them go"));
        }
        let is_dir = output.as_os_str().as_encoded_bytes().ends_with(b"/");
        let Some(filename) = output.file_name().filter(|_| !is_dir) else {
            return Err(
                Failure::usage("--output must be the name of a file").with_help("`--dir DIR` names a directory")
            );
        };
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = match (dir, parent) {
            (Some(dir), Some(parent)) => Some(dir.join(parent)),
            (dir, parent) => dir.or_else(|| parent.map(Path::to_owned)),
        };
        Ok(Self { dir, filename: Some(text_of(filename.into())?) })
    }
}

/// The mirrors of the one file that is asked for.
fn mirrors(options: &JobOptions, urls: usize) -> Result<Option<Vec<String>>, Failure> {
    if options.mirrors.is_empty() {
        return Ok(None);
    }
    if urls > 1 {
        let failure = Failure::usage(format!("--mirror is another URL of one file, but there are {urls} of them"));
        return Err(failure.with_help("`haul add URL --mirror URL2` for each file"));
    }
    checked(&options.mirrors).map(Some)
}

fn template(options: &JobOptions, filename: Option<String>, urls: usize) -> Result<SubmitJob, Failure> {
    Ok(SubmitJob {
        mirrors: mirrors(options, urls)?,
        filename,
        headers: headers(&options.headers)?,
        referrer: options.referer.clone(),
        user_agent: options.user_agent.clone(),
        connections: options.connections,
        bandwidth_limit: options.limit.map(|rate| rate.0),
        priority: options.priority,
        label: options.label.clone(),
        on_conflict: options.on_conflict.map(Into::into),
        on_change: options.on_change.map(Into::into),
        size: options.size.map(|size| size.0),
        checksum: options.checksum.clone(),
        checksum_url: options
            .checksum_url
            .as_deref()
            .map(|url| check(url).map_err(|what| not_a_url(&what, url)))
            .transpose()?,
        proxy: options.proxy.clone(),
        no_proxy: options.no_proxy.clone(),
        insecure: options.insecure.then_some(true),
        source_address: options.source_address,
        ip_version: match (options.ipv4, options.ipv6) {
            (true, _) => Some(IpVersion::V4),
            (_, true) => Some(IpVersion::V6),
            (false, false) => None,
        },
        cookies: options.cookies.as_deref().map(cookies).transpose()?,
        method: options.data.is_some().then_some(Method::Post),
        body: options.data.as_deref().map(body).transpose()?,
        ..SubmitJob::default()
    })
}

/// Reads `cookies.txt`.
fn cookies(path: &Path) -> Result<Vec<Cookie>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::local("read", path, &error))?;
    cookies::read(&text).map_err(|what| {
        let shown = path.display().to_string();
        Failure::usage(format!("`{}` {what}", escaped(&shown)))
    })
}

/// What a POST carries: the text, or what the file holds.
fn body(data: &str) -> Result<RequestBody, Failure> {
    let text = match data.strip_prefix('@') {
        // Not read as a list: it is sent as it is.
        Some(path) => read_input(path.as_ref())?,
        None => data.to_owned(),
    };
    Ok(RequestBody { text: Some(text), base64: None })
}

/// Reads `Name: value` pairs. No text repeats one: it may be a password in the wrong form.
pub(crate) fn headers(lines: &[String]) -> Result<Option<BTreeMap<String, String>>, Failure> {
    let mut headers = BTreeMap::<String, String>::new();
    for (index, line) in lines.iter().enumerate() {
        let pair = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("--header number {} is not of the form `Name: value`", index + 1)));
        };
        if headers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(Failure::usage(format!("--header sets `{}` twice", escaped(name))));
        }
        headers.insert(name.to_owned(), value.to_owned());
    }
    Ok((!headers.is_empty()).then_some(headers))
}

fn checked(urls: &[String]) -> Result<Vec<String>, Failure> {
    urls.iter().map(|url| check(url).map_err(|what| not_a_url(&what, url))).collect()
}

/// What the daemon would refuse, too, but here before anything is sent.
fn check(url: &str) -> Result<String, String> {
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(url.to_owned()),
        Ok(_) => Err(format!("`{}` is neither http nor https", shown_url(url))),
        Err(error) => Err(format!("this is not a URL: {error}")),
    }
}

fn not_a_url(what: &str, url: &str) -> Failure {
    let failure = Failure::usage(what);
    let with_scheme = format!("https://{url}");
    match Url::parse(&with_scheme).ok().filter(|_| !url.contains("://")) {
        Some(guess) if guess.host_str().is_some_and(|host| host.contains('.')) => {
            failure.with_help(format!("did you mean `{}`?", shown_url(&with_scheme)))
        }
        _ => failure.with_help("a URL looks like `https://example.org/a.iso`"),
    }
}

fn read_input(input: &Path) -> Result<String, Failure> {
    if input.as_os_str() == "-" {
        let mut text = String::new();
        let read = io::stdin().lock().read_to_string(&mut text);
        return read.map(|_| text).map_err(|error| Failure::local("read", "standard input".as_ref(), &error));
    }
    fs::read_to_string(input).map_err(|error| Failure::local("read", input, &error))
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(dir).map_err(|error| Failure::local("find the directory", dir, &error))
}

fn text_of(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string().into_string().map_err(|path| {
        let shown = path.display().to_string();
        Failure::usage(format!("`{}` is not UTF-8, which the API needs", escaped(&shown)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: Option<&str>, output: Option<&str>) -> JobOptions {
        JobOptions { dir: dir.map(Into::into), output: output.map(Into::into), ..JobOptions::default() }
    }

    #[test]
    fn an_output_may_bring_its_directory() {
        for (dir, output, expected_dir, filename) in [
            (None, Some("a.iso"), None, Some("a.iso")),
            (None, Some("/tmp/a.iso"), Some("/tmp"), Some("a.iso")),
            (Some("/srv"), Some("x/a.iso"), Some("/srv/x"), Some("a.iso")),
            (Some("/srv"), None, Some("/srv"), None),
        ] {
            let target = Target::of(&options(dir, output), 1).expect("a good target");
            let expected = Target { dir: expected_dir.map(Into::into), filename: filename.map(Into::into) };
            assert_eq!(target, expected);
        }
        for output in ["x/", "/", "..", ""] {
            let error = Target::of(&options(None, Some(output)), 1).expect_err(output);
            assert_eq!(error.exit.code(), 2);
        }
        assert!(Target::of(&options(None, Some("a")), 2).is_err());
        assert!(Target::of(&options(Some("/srv"), None), 2).is_ok());
    }

    #[test]
    fn mirrors_are_those_of_one_file() {
        let given = |mirror: &str| JobOptions { mirrors: vec![mirror.to_owned()], ..JobOptions::default() };
        assert_eq!(mirrors(&JobOptions::default(), 2).expect("nothing wrong"), None);
        let one = mirrors(&given("http://b/1"), 1).expect("nothing wrong");
        assert_eq!(one, Some(vec!["http://b/1".to_owned()]));
        for (mirror, urls) in [("http://b/1", 2), ("b.example/s3cret", 1), ("ftp://me:s3cret@b/", 1)] {
            let failure = mirrors(&given(mirror), urls).expect_err(mirror);
            assert_eq!(failure.exit.code(), 2);
            assert!(!failure.message.contains("s3cret"), "{failure:?}");
        }
    }

    const METALINK: &str = r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink">
        <file name="a.iso"><size>5</size><url>https://a.example/1</url><url>ftp://b.example/1</url></file>
        <file name="b.iso"><url>magnet:?xt=b</url></file></metalink>"#;

    fn lying_here(name: &str, text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(name);
        fs::write(&path, text).expect("a writable directory");
        let path = path.to_str().expect("UTF-8").to_owned();
        (dir, path)
    }

    #[test]
    fn metalinks_that_lie_here_are_read_beside_urls() {
        let (_dir, path) = lying_here("x.Meta4", METALINK);
        let wishes = Wishes::of(&[path.clone(), "http://h/x.meta4".to_owned()], false).expect("both are good");
        let expected =
            SubmitJob { filename: Some("a.iso".to_owned()), size: Some(5), ..SubmitJob::new("https://a.example/1") };
        assert_eq!(wishes.jobs, [expected, SubmitJob::new("http://h/x.meta4")]);
        assert_eq!(wishes.notes, [format!("`a.iso`: 1 of the 2 URLs in `{path}` are used")]);
        assert_eq!(wishes.refused.len(), 1);
        let refused = wishes.refused[0].failure().message;
        assert!(refused.starts_with(&format!("{path}: ")) && refused.contains("`b.iso`"), "{refused}");
    }

    #[test]
    fn options_count_more_than_what_a_metalink_says() {
        let (_dir, path) = lying_here("x.metalink", METALINK);
        let template = SubmitJob {
            filename: Some("mine".to_owned()),
            mirrors: Some(vec!["http://c.example/1".to_owned()]),
            label: Some("iso".to_owned()),
            ..SubmitJob::default()
        };
        let job = Wishes::of(&[path], false).expect("it is good").all_like(&template).jobs.remove(0);
        assert_eq!((job.filename.as_deref(), job.size, job.label.as_deref()), (Some("mine"), Some(5), Some("iso")));
        assert_eq!(job.urls().map(|(_, url)| url).collect::<Vec<_>>(), ["https://a.example/1", "http://c.example/1"]);
    }

    #[test]
    fn a_metalink_that_is_none_or_is_not_there_is_named() {
        let (dir, path) = lying_here("x.meta4", "\n<html>");
        let failure = Wishes::of(std::slice::from_ref(&path), false).expect_err("no Metalink");
        assert!(failure.message.starts_with(&format!("`{path}`, line 2: this is no Metalink")), "{failure:?}");
        drop(dir);
        let failure = Wishes::of(std::slice::from_ref(&path), false).expect_err("it is gone");
        assert!(failure.message.contains(&path), "{failure:?}");
    }

    #[test]
    fn headers_are_pairs_and_never_repeated() {
        let lines = |lines: &[&str]| headers(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let pairs = lines(&["A: b", "Cookie:x=1; y: 2"]).expect("two pairs").expect("not empty");
        assert_eq!(pairs["A"], "b");
        assert_eq!(pairs["Cookie"], "x=1; y: 2");
        assert_eq!(lines(&[]).expect("nothing wrong"), None);
        for wrong in [&["Bearer s3cret"][..], &[": s3cret"], &["A: s3cret", "a: s3cret"]] {
            let failure = lines(wrong).expect_err("wrong");
            assert_eq!(failure.exit.code(), 2);
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        }
    }

    fn list(text: &str) -> Result<Wishes, Failure> {
        let mut wishes = Wishes::default();
        wishes.read_list(text, "list.txt".as_ref(), true).map(|()| wishes)
    }

    #[test]
    fn lists_may_have_comments_and_windows_line_ends() {
        let text = "# isos\r\nhttp://a/1\r\n\r\n  https://a/2  \n";
        let urls: Vec<_> = list(text).expect("two URLs").jobs;
        assert_eq!(urls, [SubmitJob::new("http://a/1"), SubmitJob::new("https://a/2")]);
        for text in ["http://a/1\nftp://me:s3cret@a/?s3cret\n", "http://a/1\nhttp://b/\tftp://me:s3cret@a/?s3cret\n"] {
            let failure = list(text).expect_err("ftp");
            assert_eq!(failure.message, "line 2 of `list.txt`: `ftp://a/?...` is neither http nor https");
        }
        let failure = list("http://a/1\n bt-tracker=s3cret\n").expect_err("no option");
        assert!(failure.message.starts_with("line 2 of `list.txt`: there is no option `bt-tracker`"), "{failure:?}");
    }

    #[test]
    fn what_a_list_says_of_a_file_counts_more_than_what_is_said_of_all() {
        let wishes =
            list("http://a/1\n dir=/srv/one\n header=A: 1\n split=2\n gid=7\nhttp://a/2\n").expect("two files");
        assert_eq!(wishes.notes, ["line 5 of `list.txt`: `gid` means nothing here and is passed over"]);
        let headers = |pairs: &[(&str, &str)]| {
            Some(
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
            )
        };
        let template = SubmitJob {
            dir: Some("/srv/all".to_owned()),
            headers: headers(&[("a", "2"), ("b", "3")]),
            connections: Some(9),
            ..SubmitJob::default()
        };
        let jobs = wishes.all_like(&template).jobs;
        assert_eq!((jobs[0].dir.as_deref(), jobs[0].connections), (Some("/srv/one"), Some(2)));
        assert_eq!(jobs[0].headers, headers(&[("A", "1"), ("b", "3")]));
        assert_eq!((jobs[1].dir.as_deref(), jobs[1].connections), (Some("/srv/all"), Some(9)));
        assert_eq!(jobs[1].headers, template.headers);
    }

    #[test]
    fn patterns_are_expanded_where_that_is_asked_for() {
        let word = ["http://a/[1-2].iso?s3cret".to_owned()];
        let wishes = Wishes::of(&word, false).expect("a URL");
        assert_eq!(wishes.jobs, [SubmitJob::new(&word[0])]);
        assert!(wishes.notes[0].contains("--expand") && !wishes.notes[0].contains("s3cret"), "{:?}", wishes.notes);
        let wishes = Wishes::of(&word, true).expect("a pattern");
        let expected = ["http://a/1.iso?s3cret", "http://a/2.iso?s3cret"].map(SubmitJob::new);
        assert_eq!((wishes.jobs.as_slice(), wishes.notes.len()), (&expected[..], 0));
        assert_eq!(Wishes::of(&["http://a/[x]".to_owned()], true).expect_err("no range").exit.code(), 2);
    }

    #[test]
    fn a_forgotten_scheme_is_guessed() {
        let failure = checked(&["example.org/a.iso?s3cret".to_owned()]).expect_err("no scheme");
        assert_eq!(failure.help, ["did you mean `https://example.org/a.iso?...`?"]);
        let failure = checked(&["s3cret".to_owned()]).expect_err("no URL");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
}
