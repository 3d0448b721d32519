//! Faults: which requests are hit, and what happens to them.

use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use crate::lock;

/// Which requests for a file a fault hits. Requests and connections are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// All of them.
    Always,
    /// The first n.
    First(u64),
    /// All after the first n.
    After(u64),
    /// Each n-th: n, 2n, 3n, ...
    Every(u64),
    /// All on the n-th connection that the server accepted (for whatever file).
    Connection(u64),
    /// The first n that send bytes of this region of the content.
    ///
    /// A fault of the body begins where sending reaches the region, ends with the region, and only
    /// then counts. A fault of the answer counts when the answer covers any byte of the region.
    ///
    /// Unpaced, sending is ahead of the client by what the sockets buffer, which is megabytes: a
    /// request that the client stops short of the region may have reached it. Where attempts are
    /// to be counted, [`When::StartsIn`] is exact.
    Region {
        /// Half-open range of content positions.
        range: Range<u64>,
        /// How many requests are hit; `u64::MAX` for all.
        first: u64,
    },
    /// The first n whose first content byte lies in this range: attempts at a chunk, for example.
    /// They are hit wherever they go on to.
    StartsIn {
        /// Half-open range of content positions.
        range: Range<u64>,
        /// How many requests are hit; `u64::MAX` for all.
        first: u64,
    },
}

/// What happens to a request that is hit.
///
/// Of the faults of the answer the first that matches is taken. The faults of the body
/// (`ResetAfter`, `CloseAfter`, `StallAfter`, `Trickle`, `Corrupt`) come on top, all that match.
/// Lies about ranges leave an answer alone that is no 206.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Answers with this status, these headers and a short text, and goes on with the connection.
    Status(u16, Vec<(String, String)>),
    /// Sends so many bytes of the body (from the start of the region, if there is one), then a RST.
    /// The network has 20 ms to deliver them; what a slow client leaves in the buffers is lost.
    ResetAfter(u64),
    /// Sends so many bytes of the body, then a FIN.
    CloseAfter(u64),
    /// Sends so many bytes of the body, then nothing, and keeps the socket open.
    StallAfter(u64),
    /// Sends the body, or the part in the region, at so many bytes per second.
    Trickle(u64),
    /// Flips every bit of the body, or of the part in the region.
    Corrupt,
    /// Waits so long before the answer.
    Delay(Duration),
    /// Calls the same bytes by this `ETag`, also where it is asked for conditionally: another server of a farm.
    Etag(String),
    /// Reads the request, says nothing, and keeps the socket open.
    NeverAnswer,
    /// Reads the request and closes the connection (the race of a kept-alive connection).
    HangUp,
    /// 206 that starts this much later (or earlier) than asked; header and bytes agree.
    WrongStart(i64),
    /// 206 with the header that was asked for, but with bytes from the start of the file.
    WrongBody,
    /// 206 without `Content-Range`.
    MissingContentRange,
    /// 206 as `multipart/byteranges` with one part.
    Multipart,
    /// 206 with chunked framing and no `Content-Length`.
    ChunkedRange,
    /// Valid 206 that covers only the first n bytes of what was asked.
    ShortRange(u64),
    /// 206 whose `Content-Range` states this total.
    WrongTotal(u64),
    /// 200 with the whole file.
    FullInstead,
    /// 200 with the HTML page of a captive portal.
    Html,
    /// So many bytes more than `Content-Length` says; the connection stays open.
    ExtraBytes(u64),
    /// A status line followed by headers that are none, then a FIN.
    GarbageHeaders,
    /// A truthful answer with 1 MiB of headers.
    HugeHeaders,
    /// A truthful answer with two `Content-Length` that differ.
    TwoLengths,
}

impl Do {
    /// Answers with this status and no further header.
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }

    /// Answers with this status and one header, such as `retry-after`.
    pub fn status_with(status: u16, name: &str, value: &str) -> Self {
        Self::Status(status, vec![(name.to_owned(), value.to_owned())])
    }

    /// Whether it strikes while the body is sent, rather than changing the answer.
    pub(crate) fn is_of_body(&self) -> bool {
        matches!(
            self,
            Self::ResetAfter(_) | Self::CloseAfter(_) | Self::StallAfter(_) | Self::Trickle(_) | Self::Corrupt
        )
    }
}

/// One fault of a file, with what it has counted so far.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) when: When,
    pub(crate) action: Do,
    hits_of_place: Mutex<u64>,
}

impl Rule {
    pub(crate) fn new((when, action): (When, Do)) -> Self {
        Self { when, action, hits_of_place: Mutex::new(0) }
    }

    /// Whether the rule may hit this request. A place decides later, with [`Rule::claim`].
    pub(crate) fn concerns(&self, ordinal: u64, connection: u64) -> bool {
        match self.when {
            When::Always | When::Region { .. } | When::StartsIn { .. } => true,
            When::First(n) => ordinal <= n,
            When::After(n) => ordinal > n,
            When::Every(n) => n > 0 && ordinal.is_multiple_of(n),
            When::Connection(n) => connection == n,
        }
    }

    /// The part of `positions` that the rule is about.
    pub(crate) fn part_of(&self, positions: &Range<u64>) -> Range<u64> {
        match &self.when {
            When::Region { range, .. } => range.start.max(positions.start)..range.end.min(positions.end),
            // An empty part at the end of everything is reached by nobody.
            When::StartsIn { range, .. } if !range.contains(&positions.start) => u64::MAX..u64::MAX,
            When::StartsIn { .. }
            | When::Always
            | When::First(_)
            | When::After(_)
            | When::Every(_)
            | When::Connection(_) => positions.clone(),
        }
    }

    /// Counts a request that reached the place; false once the place has had its share.
    pub(crate) fn claim(&self) -> bool {
        let (When::Region { first, .. } | When::StartsIn { first, .. }) = self.when else {
            return true;
        };
        let mut hits = lock(&self.hits_of_place);
        *hits += 1;
        *hits <= first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(when: When) -> Vec<u64> {
        let rule = Rule::new((when, Do::NeverAnswer));
        (1..=6).filter(|&n| rule.concerns(n, n + 10)).collect()
    }

    #[test]
    fn requests_are_selected_by_number_and_connection() {
        assert_eq!(hit(When::Always), [1, 2, 3, 4, 5, 6]);
        assert_eq!(hit(When::First(2)), [1, 2]);
        assert_eq!(hit(When::After(4)), [5, 6]);
        assert_eq!(hit(When::Every(3)), [3, 6]);
        assert_eq!(hit(When::Connection(14)), [4]);
    }

    #[test]
    fn a_hits_of_place_its_first_visitors() {
        let rule = Rule::new((When::Region { range: 10..20, first: 2 }, Do::Corrupt));
        assert_eq!(rule.part_of(&(0..15)), 10..15);
        assert!(rule.part_of(&(20..30)).is_empty());
        assert_eq!([rule.claim(), rule.claim(), rule.claim()], [true, true, false]);
    }
}
