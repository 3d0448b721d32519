//! `cookies.txt`, as browsers export it and curl keeps it (the format of Netscape).

use haul_api::Cookie;
use jiff::Timestamp;

/// Reads a file. Lines that are no cookies are passed over, as others do it; those that have ended, too.
///
/// # Errors
///
/// When there is no cookie in it at all.
pub(crate) fn read(text: &str) -> Result<Vec<Cookie>, &'static str> {
    let mut lines = text.lines().filter_map(cookie).peekable();
    if lines.peek().is_none() {
        return Err("holds no cookie in the form of `cookies.txt`");
    }
    let now = Timestamp::now();
    Ok(lines.filter(|cookie| cookie.expires.is_none_or(|end| end > now)).collect())
}

/// Seven fields with tabs between them: domain, whether it includes those below, path, secure, end, name, value.
fn cookie(line: &str) -> Option<Cookie> {
    // What scripts may not see is marked like a comment.
    let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let fields: Vec<&str> = line.split('\t').collect();
    let [domain, below, path, secure, end, name, value] = fields.as_slice() else { return None };
    let is = |text: &str| text.eq_ignore_ascii_case("true");
    let end: i64 = end.trim().parse().ok()?;
    if domain.is_empty() || name.is_empty() {
        return None;
    }
    Some(Cookie {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
        domain: Some(domain.trim_start_matches('.').to_owned()),
        host_only: Some(!is(below)),
        path: path.starts_with('/').then(|| (*path).to_owned()),
        secure: Some(is(secure)),
        // 0 is the end of the session, and what is beyond all times never ends.
        expires: (end > 0).then(|| Timestamp::from_second(end).ok()).flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_cookie() {
        let text = "# Netscape HTTP Cookie File\n\n.example.org\tTRUE\t/\tTRUE\t4102444800\tsession\ta=b c\r\n\
                    #HttpOnly_www.example.org\tFALSE\t/dl\tFALSE\t0\tlogin\tx\nold.example\tFALSE\t/\tFALSE\t1\ta\tb\n\
                    rubbish\n";
        let cookies = read(text).expect("cookies");
        assert_eq!(cookies.len(), 2);
        let [first, second] = cookies.as_slice() else { panic!("two have not ended") };
        assert_eq!((first.name.as_str(), first.value.as_str()), ("session", "a=b c"));
        assert_eq!(
            (first.domain.as_deref(), first.host_only, first.secure),
            (Some("example.org"), Some(false), Some(true))
        );
        assert_eq!((second.path.as_deref(), second.host_only, second.expires), (Some("/dl"), Some(true), None));
    }

    #[test]
    fn a_file_without_a_cookie_is_none() {
        for text in ["", "# only a comment", "a=b; c=d", "\t\t\t\t\t\t"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
