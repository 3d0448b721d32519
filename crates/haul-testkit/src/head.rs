//! Reading a request: its head, its body, and the range it asks for.

use std::ops::Range;

/// The head of a request, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// What follows the head, as long as `Content-Length` says.
    pub(crate) body: Vec<u8>,
}

/// What a `Range` header means for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No range, or none that has to be understood.
    Everything,
    Part(Range<u64>),
    Unsatisfiable,
}

impl Head {
    /// Takes one head with its body off the front of `inbox`, once they are complete.
    ///
    /// # Errors
    ///
    /// When it is not HTTP.
    pub(crate) fn take(inbox: &mut Vec<u8>) -> Result<Option<Self>, NotHttp> {
        let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&inbox[..end]).into_owned();
        let mut parsed = Self::parse(&head).ok_or(NotHttp)?;
        let length = parsed.header("content-length").map_or(Ok(0), |value| value.parse().map_err(|_| NotHttp))?;
        let end = end + 4;
        if inbox.len() < end.checked_add(length).ok_or(NotHttp)? {
            return Ok(None);
        }
        inbox.drain(..end);
        parsed.body = inbox.drain(..length).collect();
        Ok(Some(parsed))
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            headers: headers.collect::<Option<_>>()?,
            body: Vec::new(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Whether the client wants the connection closed after the answer.
    pub(crate) fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The range in the header, as first and last byte; a suffix is counted from `total`.
    pub(crate) fn range(&self, total: u64) -> Option<(u64, Option<u64>)> {
        let (first, last) = self.header("range")?.trim().strip_prefix("bytes=")?.split_once('-')?;
        if first.is_empty() {
            let suffix: u64 = last.parse().ok()?;
            let start = total.saturating_sub(suffix);
            // A suffix of 0 bytes, or of an empty file, starts at the end: not satisfiable.
            return Some((start, total.checked_sub(1)));
        }
        let start = first.parse().ok()?;
        match last {
            "" => Some((start, None)),
            last => Some((start, Some(last.parse().ok()?))),
        }
    }

    /// What the range means for a file of `total` bytes.
    pub(crate) fn asked(&self, total: u64) -> Asked {
        match self.range(total) {
            None => Asked::Everything,
            Some((start, _)) if start >= total => Asked::Unsatisfiable,
            Some((start, None)) => Asked::Part(start..total),
            Some((start, Some(last))) if start <= last => Asked::Part(start..last.saturating_add(1).min(total)),
            Some(_) => Asked::Everything,
        }
    }
}

/// The first value of a header, whatever the case of its name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotHttp;

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(range: &str, total: u64) -> Asked {
        let mut inbox = format!("GET /a?b=c HTTP/1.1\r\nRange: {range}\r\n\r\n").into_bytes();
        let head = Head::take(&mut inbox).expect("it is HTTP").expect("it is complete");
        assert_eq!((head.path.as_str(), head.query.as_deref()), ("/a", Some("b=c")));
        head.asked(total)
    }

    #[test]
    fn ranges_mean_what_the_rfc_says() {
        assert_eq!(asking("bytes=2-", 10), Asked::Part(2..10));
        assert_eq!(asking("bytes=2-4", 10), Asked::Part(2..5));
        assert_eq!(asking("bytes=2-99", 10), Asked::Part(2..10));
        assert_eq!(asking("bytes=-3", 10), Asked::Part(7..10));
        assert_eq!(asking("bytes=-30", 10), Asked::Part(0..10));
        assert_eq!(asking("bytes=10-", 10), Asked::Unsatisfiable);
        assert_eq!(asking("bytes=-0", 10), Asked::Unsatisfiable);
        assert_eq!(asking("bytes=0-", 0), Asked::Unsatisfiable);
        assert_eq!(asking("bytes=-5", 0), Asked::Unsatisfiable);
        assert_eq!(asking("bytes=4-2", 10), Asked::Everything);
        assert_eq!(asking("bytes=0-1,4-5", 10), Asked::Everything);
        assert_eq!(asking("lines=0-1", 10), Asked::Everything);
    }

    #[test]
    fn a_head_is_taken_once_it_is_complete() {
        let mut inbox = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
        assert_eq!(Head::take(&mut inbox), Ok(None));
        inbox.extend_from_slice(b"\r\nGET /next");
        let head = Head::take(&mut inbox).expect("it is HTTP").expect("it is complete");
        assert_eq!(head.header("HOST"), Some("x"));
        assert_eq!(inbox, b"GET /next");
        assert_eq!(Head::take(&mut b"hello\r\n\r\n".to_vec()), Err(NotHttp));
    }
}
