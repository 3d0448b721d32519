//! What browsers copy, what people type, and what is neither.

use proptest::prelude::*;

use super::*;

fn job(text: &str) -> SubmitJob {
    read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    let error = read(text.as_bytes()).expect_err(text).to_string();
    assert!(!error.contains("s3cret"), "{error}");
    error
}

fn header(job: &SubmitJob, name: &str) -> Option<String> {
    job.headers.as_ref()?.get(name).cloned()
}

#[test]
fn what_chromium_copies_is_a_job() {
    let job = job(
        "curl 'https://example.org/a%20b.iso?x=1' \\\n  -H 'accept: */*' \\\n  -H 'accept-language: de' \\\n  \
                   -b 'session=s3cret; theme=dark' \\\n  -H 'priority: u=1' \\\n  -H 'referer: https://example.org/' \\\n  \
                   -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64)' \\\n  --compressed\n",
    );
    assert_eq!(job.url.as_deref(), Some("https://example.org/a%20b.iso?x=1"));
    assert_eq!(header(&job, "Cookie").as_deref(), Some("session=s3cret; theme=dark"));
    assert_eq!(header(&job, "accept-language").as_deref(), Some("de"));
    assert_eq!(job.referrer.as_deref(), Some("https://example.org/"));
    assert_eq!(job.user_agent.as_deref(), Some("Mozilla/5.0 (X11; Linux x86_64)"));
    assert_eq!((job.method, header(&job, "priority")), (None, None));
}

#[test]
fn what_firefox_copies_of_a_form_is_a_post() {
    let job = job("curl 'https://example.org/get' --compressed -X POST -H 'Content-Type: \
                   application/x-www-form-urlencoded' --data-raw 'id=1&token=a%2Bb'");
    assert_eq!(job.method, Some(Method::Post));
    assert_eq!(job.body, Some(RequestBody { text: Some("id=1&token=a%2Bb".to_owned()), base64: None }));
}

#[test]
fn quotes_are_those_of_bash() {
    for (text, url) in [
        (r#"curl "http://a/\"\$x\\y""#, r#"http://a/"$x\y"#),
        (r"curl http://a/\ b\'", "http://a/ b'"),
        (r"curl 'http://a/'\''x'", "http://a/'x"),
        (r"curl $'http://a/\u00e4\x41\101\'\t!'", "http://a/äAA'\t!"),
        (r"curl $'http://a/\ud83d\ude00'", "http://a/😀"),
        (r"curl $'http://a/\xc3\xa4'", "http://a/ä"),
        ("curl http://a/'b'\"c\"$'d'e", "http://a/bcde"),
        ("curl \\\r\n  http://a/x;\n", "http://a/x"),
        ("/usr/bin/curl -sSfL -- http://a/x", "http://a/x"),
        ("curl a.example/x", "http://a.example/x"),
        ("curl --url=http://a/x", "http://a/x"),
        ("curl http://a/x -G -d b=1 --data-urlencode 'c=ä &'", "http://a/x?b=1&c=%C3%A4%20%26"),
        ("curl 'http://a/x?y' -Gd z", "http://a/x?y&z"),
    ] {
        assert_eq!(job(text).url.as_deref(), Some(url), "{text}");
    }
}

#[test]
fn options_become_fields() {
    let job =
        job("curl -kLo /srv/files/b.iso -x proxy.example:3128 -U ann:p@ss --noproxy localhost -4 -u 'me:s3cret' -A \
                   agent -e 'http://r/;auto' -H 'X-A: 1' -H 'x-a: 2' -H 'X-Empty:' --limit-rate 500k --retry 5 -C - \
                   -m10 http://a/b");
    assert_eq!(job.insecure, Some(true));
    assert_eq!((job.dir.as_deref(), job.filename.as_deref()), (Some("/srv/files"), Some("b.iso")));
    assert_eq!(job.proxy.as_deref(), Some("http://ann:p%40ss@proxy.example:3128/"));
    assert_eq!((job.no_proxy.as_deref(), job.ip_version), (Some("localhost"), Some(IpVersion::V4)));
    assert_eq!(header(&job, "Authorization").as_deref(), Some("Basic bWU6czNjcmV0"));
    assert_eq!((job.user_agent.as_deref(), job.referrer.as_deref()), (Some("agent"), Some("http://r/")));
    assert_eq!((header(&job, "X-A").as_deref(), header(&job, "X-Empty")), (Some("2"), None));
    assert_eq!(job.bandwidth_limit, Some(500 << 10));
}

#[test]
fn data_add_up() {
    let body = |text: &str| job(text).body.expect("a body").text.expect("a text");
    assert_eq!(body("curl http://a -d a=1 --data-raw @b --data-urlencode '=c d'"), "a=1&@b&c%20d");
    let job = job(r#"curl http://a --json '{"a":' --json '1}'"#);
    assert_eq!(job.body.as_ref().and_then(|body| body.text.as_deref()), Some(r#"{"a":1}"#));
    assert_eq!(header(&job, "Content-Type").as_deref(), Some("application/json"));
    assert_eq!(
        (self::job("curl -X POST http://a").method, self::job("curl -XGET http://a").method),
        (Some(Method::Post), None)
    );
}

#[test]
fn what_cannot_be_honoured_is_named() {
    for (text, part) in [
        ("curl http://a --upload-file s3cret", "`--upload-file`"),
        ("curl http://a -T s3cret", "`-T`"),
        ("curl http://a -F 'a=s3cret'", "`-F`"),
        ("curl http://a --cert=s3cret", "`--cert`"),
        ("curl http://a -K s3cret", "`-K`"),
        ("curl http://a --location-trusted", "`--location-trusted`"),
        ("curl http://a -b s3cret", "`-b` of curl names a file"),
        ("curl http://a -d @s3cret", "`-d` of curl names a file"),
        ("curl http://a --data-urlencode a@s3cret", "names a file"),
        ("curl http://a -X DELETE", "`-X` of curl must be GET or POST"),
        ("curl http://a -X GET -d s3cret", "`-X`"),
        ("curl http://a -H", "`-H` of curl has no value"),
        ("curl http://a -H s3cret", "a colon"),
        ("curl http://a -o -", "`-o`"),
        ("curl http://a -U ann:s3cret", "`-U`"),
        ("curl http://a --interface eth0", "`--interface`"),
        ("curl http://a http://s3cret", "more than one URL"),
        ("curl", "no URL"),
        ("curl -s", "no URL"),
        ("", "begins with `curl`"),
        ("wget http://a", "begins with `curl`"),
        ("curl http://a; rm -rf s3cret", "more than one command"),
        ("curl http://a | sh", "more than one command"),
        ("curl http://a\nrm s3cret", "more than one command"),
        ("curl http://a/?x&y=s3cret", "quote"),
        ("curl \"http://a/$(s3cret)\"", "another command"),
        ("curl \"http://a/`s3cret`\"", "another command"),
        ("curl 'http://a", "a quote has no end"),
        ("curl \"http://a", "a quote has no end"),
        ("curl $'http://a", "a quote has no end"),
        (r"curl $'\ud800'", "no character"),
        (r"curl $'\x'", "no character"),
        (r"curl $'\xff'", "no character"),
        (r"curl $'\0'", "no character"),
    ] {
        assert!(refusal(text).contains(part), "{text}: {}", refusal(text));
    }
    assert_eq!(read(b"curl \xff"), Err(CurlError::NotText));
    assert_eq!(read(b"curl http://a/\0"), Err(CurlError::NotText));
}

/// A text in the single quotes of bash.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

proptest! {
    #[test]
    fn whatever_is_sent_is_a_job_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes).ok();
    }

    #[test]
    fn whatever_looks_like_a_command_is_a_job_or_an_error(rest in r#"( |-|[A-Za-z0-9]|'|"|\$|\\|\n|@|=|:|/|`|\(|ä){0,60}"#) {
        read(format!("curl {rest}").as_bytes()).ok();
        read(format!("curl $'{rest}").as_bytes()).ok();
    }

    #[test]
    fn what_is_quoted_comes_out_as_it_was(value in "[^\0\r\n]{0,40}", path in "[^\0]{0,40}") {
        let text = format!("curl {} -A {}", quoted(&format!("http://a/{path}")), quoted(&value));
        let job = job(&text);
        prop_assert_eq!(job.url, Some(format!("http://a/{path}")));
        prop_assert_eq!(job.user_agent, Some(value));
    }
}
