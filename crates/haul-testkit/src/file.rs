//! What a test orders: a file, its headers, its speed and its faults.

use std::time::Duration;

use crate::content::Content;
use crate::fault::{Do, When};
use crate::pace::Line;

/// A file as the server offers it: content, headers, speed and faults.
#[derive(Clone, Debug)]
pub struct File {
    pub(crate) content: Content,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) without: Vec<String>,
    pub(crate) ranges: Ranges,
    pub(crate) framing: Framing,
    pub(crate) rate: Option<u64>,
    pub(crate) line: Option<Line>,
    pub(crate) delay: Option<Duration>,
    pub(crate) redirect: Option<(u16, String)>,
    pub(crate) max_in_flight: Option<(u64, u16)>,
    pub(crate) faults: Vec<(When, Do)>,
}

/// How the server deals with `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    Served,
    /// Ignored, and not mentioned.
    Ignored,
    /// Ignored, and `Accept-Ranges: none` says so.
    Denied,
}

/// How the client learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    Chunked,
    Close,
}

impl File {
    /// A file that behaves: ranges, a length, kept-alive connections, full speed, no validators.
    pub fn new(content: Content) -> Self {
        Self {
            content,
            etag: None,
            last_modified: None,
            content_type: "application/octet-stream".to_owned(),
            headers: Vec::new(),
            without: Vec::new(),
            ranges: Ranges::Served,
            framing: Framing::Length,
            rate: None,
            line: None,
            delay: None,
            redirect: None,
            max_in_flight: None,
            faults: Vec::new(),
        }
    }

    /// Sends this `ETag`, quotes (and `W/`) included.
    #[must_use]
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// Sends this text as `Last-Modified`.
    #[must_use]
    pub fn last_modified(mut self, date: impl Into<String>) -> Self {
        self.last_modified = Some(date.into());
        self
    }

    /// Sends this `Content-Type` instead of `application/octet-stream`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Sends this header, too; one that the server sends by itself is replaced.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Leaves out a header that the server sends by itself, such as `accept-ranges` or `date`.
    #[must_use]
    pub fn without_header(mut self, name: impl Into<String>) -> Self {
        self.without.push(name.into());
        self
    }

    /// Answers 200 with the whole file, whatever is asked.
    #[must_use]
    pub fn no_ranges(mut self) -> Self {
        self.ranges = Ranges::Ignored;
        self
    }

    /// As [`File::no_ranges`], and says `Accept-Ranges: none`.
    #[must_use]
    pub fn accept_ranges_none(mut self) -> Self {
        self.ranges = Ranges::Denied;
        self
    }

    /// Sends with `Transfer-Encoding: chunked`: no length, no ranges.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self.ranges = Ranges::Ignored;
        self
    }

    /// Sends without any length and ends the body by closing: no ranges.
    #[must_use]
    pub fn close_delimited(mut self) -> Self {
        self.framing = Framing::Close;
        self.ranges = Ranges::Ignored;
        self
    }

    /// Limits each response to so many bytes per second.
    #[must_use]
    pub fn rate_per_connection(mut self, bytes_per_second: u64) -> Self {
        self.rate = Some(bytes_per_second);
        self
    }

    /// Limits all responses of this file together, each getting the same share.
    ///
    /// Clones of the file share the same line.
    #[must_use]
    pub fn shared_rate(self, bytes_per_second: u64) -> Self {
        self.line(&Line::new(bytes_per_second))
    }

    /// Sends through a line that may also carry other files.
    #[must_use]
    pub fn line(mut self, line: &Line) -> Self {
        self.line = Some(line.clone());
        self
    }

    /// Waits so long before the first byte of each answer.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Answers with a redirect instead of the content; `to` is sent as it is.
    #[must_use]
    pub fn redirect(mut self, status: u16, to: impl Into<String>) -> Self {
        self.redirect = Some((status, to.into()));
        self
    }

    /// Answers `status` to a request that comes while `n` others for this file are in flight.
    #[must_use]
    pub fn max_connections(mut self, n: u64, status: u16) -> Self {
        self.max_in_flight = Some((n, status));
        self
    }

    /// Misbehaves; may be given several times.
    #[must_use]
    pub fn fault(mut self, when: When, action: Do) -> Self {
        self.faults.push((when, action));
        self
    }
}
