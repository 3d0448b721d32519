//! The URLs of a job: what may be fetched, and the names of the hosts behind them.

use haul_api::{Problem, ProblemCode, SubmitBody, SubmitJob};
use haul_store::{Mirror, Private};
use haul_transfer::host_of;
use url::Url;

use super::invalid;

/// URLs longer than this are mistakes; browsers end at some 2 MB, servers at 8 to 64 KiB.
pub(crate) const URL_BYTES_MAX: usize = 32 << 10;
/// Mirrors that a job may have, its own URL among them. A guess: nobody lists more that are worth a connection.
pub(crate) const MIRRORS_MAX: usize = 16;
/// A name of 253 bytes (RFC 1035 section 2.3.4), brackets and a port.
const HOST_BYTES_MAX: usize = 261;

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

/// The URL that has the say, and the others that are not the same once more.
pub(super) fn urls(job: &SubmitJob) -> Result<(Url, Vec<Url>), Problem> {
    let mut known: Vec<Url> = Vec::new();
    for (field, text) in job.urls() {
        let url = url(&field, text)?;
        if !known.contains(&url) {
            known.push(url);
        }
    }
    if known.len() > MIRRORS_MAX {
        return Err(invalid("mirrors", format!("a file may have {MIRRORS_MAX} URLs at most")));
    }
    if known.is_empty() {
        return Err(invalid("url", "`url` is missing".to_owned()));
    }
    let main = known.remove(0);
    Ok((main, known))
}

/// A mirror as it is stored.
pub(crate) fn mirror(mut url: Url) -> Mirror {
    url.set_fragment(None);
    Mirror { host: origin(&url), url: Private(url.into()), priority: None }
}

/// A mirror that a job is to get later.
///
/// # Errors
///
/// Says what is wrong with its URL.
pub(crate) fn new_mirror(text: &str) -> Result<Mirror, Problem> {
    let url = url("mirrors", text)?;
    if has_userinfo(&url) {
        let detail = "a URL that is added later cannot have a user in it".to_owned();
        return Err(Problem::new(ProblemCode::InvalidUrl, detail).with_field("mirrors"));
    }
    Ok(mirror(url))
}

/// Reads a URL that is an `http` or `https` one, without its fragment.
pub(crate) fn url(field: &str, text: &str) -> Result<Url, Problem> {
    let refuse = |detail: &str| Problem::new(ProblemCode::InvalidUrl, detail).with_field(field);
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

/// Reads what a person calls a host: `https://example.org:8443`, or `example.org`, which means `https`. Answers with the
/// name that jobs know it by.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | '@' | '%');
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") || authority.len() > HOST_BYTES_MAX || authority.contains(is_odd) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{authority}")).ok()?;
    // Punycode can be longer than what it stands for.
    (host_of(&url).len() <= HOST_BYTES_MAX).then(|| origin(&url))
}

/// The URL without user and password.
pub(crate) fn without_userinfo(mut url: Url) -> Url {
    // Both fail only where there is no host, and then there is no userinfo either.
    url.set_username("").ok();
    url.set_password(None).ok();
    url
}

pub(crate) fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.example", "a".repeat(300));
        let long_in_punycode = "é.".repeat(80);
        for text in [
            "",
            " ",
            "/",
            "//",
            "://",
            "https://",
            "http:///a",
            "ftp://example.org",
            "javascript:alert(1)",
            "file:///etc",
            "https://me:s3cret@example.org",
            "https://@example.org",
            "example.org/a",
            "example.org/../b",
            "a\\b",
            "example.org?a",
            "example.org#a",
            "a b",
            "a\tb",
            "a\nb",
            "a\0b",
            "example.org:99999",
            "a%2Fb",
            "https:a",
            &long,
            &long_in_punycode,
        ] {
            assert_eq!(host_name(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_uri_list_may_have_comments() {
        let list = uri_list(b"# two files\r\nhttp://a/1\r\n\r\nhttp://a/2\r\n").expect("two URLs");
        assert!(matches!(list, SubmitBody::Many(items) if items.len() == 2));
        assert!(matches!(uri_list(b"http://a/1\n"), Ok(SubmitBody::One(_))));
        assert!(uri_list(b"# nothing\n").is_err());
    }
}
