//! The truthful answer to a request.

use std::fmt::Write as _;
use std::ops::Range;

use crate::date::http_date_now;
use crate::file::{File, Framing, Ranges};
use crate::head::{Asked, Head};

/// An answer that has been decided on and not been sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Nothing,
    Text(String),
    Slice(Slice),
}

/// Content, and what surrounds it.
#[derive(Debug)]
pub(crate) struct Slice {
    /// The positions that the client is to believe in; regions are compared with them.
    pub(crate) positions: Range<u64>,
    /// Where the bytes are really taken from.
    pub(crate) source: u64,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

impl Answer {
    /// What an honest server says.
    pub(crate) fn truthful(file: &File, head: &Head) -> Self {
        let mut answer = if let Some((status, to)) = &file.redirect {
            let mut answer = Self::text(*status, String::new());
            answer.set("Location", to);
            answer
        } else {
            match asked(file, head) {
                Asked::Everything => Self::full(file),
                Asked::Part(range) => Self::part(file, range),
                Asked::Unsatisfiable => {
                    let mut answer = Self::text(416, String::new());
                    answer.set("Content-Range", &format!("bytes */{}", file.content.len()));
                    answer
                }
            }
        };
        for (name, value) in &file.headers {
            answer.set(name, value);
        }
        for name in &file.without {
            answer.remove(name);
        }
        answer
    }

    /// A plain text, such as for an error.
    pub(crate) fn text(status: u16, text: String) -> Self {
        let mut answer = Self { status, headers: Vec::new(), framing: Framing::Length, body: Body::Nothing };
        answer.set("Date", &http_date_now());
        if !matches!(status, 100..200 | 204 | 304) {
            answer.set("Content-Length", &text.len().to_string());
            answer.set("Content-Type", "text/plain");
            answer.body = Body::Text(text);
        }
        answer
    }

    /// 200 with everything.
    pub(crate) fn full(file: &File) -> Self {
        Self::content(200, file, 0..file.content.len())
    }

    /// 206 with a part.
    pub(crate) fn part(file: &File, range: Range<u64>) -> Self {
        let total = file.content.len();
        let mut answer = Self::content(206, file, range.clone());
        answer.set_content_range(&range, total);
        answer
    }

    fn content(status: u16, file: &File, positions: Range<u64>) -> Self {
        let mut answer = Self::text(status, String::new());
        answer.framing = file.framing;
        answer.set("Content-Type", &file.content_type);
        match file.ranges {
            Ranges::Served => answer.set("Accept-Ranges", "bytes"),
            Ranges::Ignored => {}
            Ranges::Denied => answer.set("Accept-Ranges", "none"),
        }
        if let Some(etag) = &file.etag {
            answer.set("ETag", etag);
        }
        if let Some(date) = &file.last_modified {
            answer.set("Last-Modified", date);
        }
        answer.declare(positions.end - positions.start);
        answer.body = Body::Slice(Slice { source: positions.start, positions, before: Vec::new(), after: Vec::new() });
        answer
    }

    /// Says where the body ends, in the way of the framing.
    pub(crate) fn declare(&mut self, body_bytes: u64) {
        match self.framing {
            Framing::Length => self.set("Content-Length", &body_bytes.to_string()),
            Framing::Chunked => {
                self.remove("Content-Length");
                self.set("Transfer-Encoding", "chunked");
            }
            Framing::Close => {
                self.remove("Content-Length");
                self.set("Connection", "close");
            }
        }
    }

    pub(crate) fn set_content_range(&mut self, range: &Range<u64>, total: u64) {
        let (first, last) = (range.start, range.end - 1);
        self.set("Content-Range", &format!("bytes {first}-{last}/{total}"));
    }

    /// Sets a header; an earlier one of that name is replaced.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// The content that it brings.
    pub(crate) fn slice(&self) -> Option<&Slice> {
        match &self.body {
            Body::Slice(slice) => Some(slice),
            Body::Nothing | Body::Text(_) => None,
        }
    }

    /// The positions of the content that it brings; empty without content.
    pub(crate) fn positions(&self) -> Range<u64> {
        self.slice().map_or(0..0, |slice| slice.positions.clone())
    }

    /// Status line and headers.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("a string takes everything");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Whether content was asked for, and nothing at all follows the head.
    pub(crate) fn is_bare(&self) -> bool {
        self.slice().is_some_and(|slice| {
            let around = slice.before.len() + slice.after.len();
            self.framing != Framing::Chunked && slice.positions.is_empty() && around == 0
        })
    }
}

/// What the request asks for, once `If-Range` has been looked at.
fn asked(file: &File, head: &Head) -> Asked {
    if file.ranges != Ranges::Served || head.header("if-range").is_some_and(|v| !is_same(file, v)) {
        return Asked::Everything;
    }
    head.asked(file.content.len())
}

/// Whether an `If-Range` value is that of the file. Weak tags are never the same (RFC 9110, 13.1.5).
fn is_same(file: &File, validator: &str) -> bool {
    if validator.starts_with("W/") {
        return false;
    }
    let known = [&file.etag, &file.last_modified];
    known.into_iter().flatten().any(|known| known == validator)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        300..400 => "Elsewhere",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "As Ordered",
    }
}
