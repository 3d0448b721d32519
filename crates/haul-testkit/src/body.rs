//! Sending an answer: head, framing, content at its pace, and the faults on the way.

use std::io;

use crate::answer::{Answer, Body, Slice};
use crate::content::invert;
use crate::course::{Course, Stop};
use crate::file::{File, Framing};
use crate::outbox::{Outbox, Part};
use crate::pace::{Line, Pacer};
use crate::{as_bytes, as_len};

/// Sends an answer for a file. `Some` tells that a fault has cut it short.
pub(crate) async fn send(
    outbox: &Outbox<'_>,
    answer: &Answer,
    file: &File,
    course: Course<'_>,
    head_only: bool,
) -> io::Result<Option<Stop>> {
    let Body::Slice(slice) = &answer.body else {
        send_text(outbox, answer, head_only).await?;
        return Ok(None);
    };
    outbox.announce(answer.status, slice.positions.start);
    let bare = head_only || answer.is_bare();
    outbox.send(&answer.head(), Part::Frame, bare).await?;
    if head_only {
        return Ok(None);
    }
    let mut sending =
        Sending { outbox, file, framing: answer.framing, course, pacer: file.rate.map(Pacer::new), buffer: WIDE };
    sending.slice(slice).await
}

/// Sends an answer that needs no file: a status, a redirect, a page.
pub(crate) async fn send_text(outbox: &Outbox<'_>, answer: &Answer, head_only: bool) -> io::Result<()> {
    outbox.announce(answer.status, 0);
    let text = match &answer.body {
        Body::Text(text) if !head_only => text.as_bytes(),
        Body::Text(_) | Body::Nothing | Body::Slice(_) => b"",
    };
    outbox.send(&answer.head(), Part::Frame, text.is_empty()).await?;
    outbox.send(text, Part::Payload, true).await
}

/// Content on its way.
struct Sending<'a> {
    outbox: &'a Outbox<'a>,
    file: &'a File,
    framing: Framing,
    course: Course<'a>,
    pacer: Option<Pacer>,
    /// The size of the send buffer. At first the system's own, which is never too small.
    buffer: u32,
}

impl Sending<'_> {
    async fn slice(&mut self, slice: &Slice) -> io::Result<Option<Stop>> {
        self.outbox.send(&slice.before, Part::Frame, false).await?;
        if let Some(stop) = self.content(slice).await? {
            return Ok(Some(stop));
        }
        self.set_buffer(WIDE)?;
        self.outbox.send(&slice.after, Part::Frame, true).await?;
        if self.framing == Framing::Chunked {
            self.outbox.send(b"0\r\n\r\n", Part::Frame, true).await?;
        }
        Ok(None)
    }

    async fn content(&mut self, slice: &Slice) -> io::Result<Option<Stop>> {
        let (mut position, end) = (slice.positions.start, slice.positions.end);
        let mut block = vec![0; as_len((end - position).min(BLOCK))];
        loop {
            if let Some(stop) = self.course.reach(position) {
                return Ok(Some(stop));
            }
            if position == end {
                return Ok(None);
            }
            self.fit_buffer()?;
            let run = self.course.next_change(position, end) - position;
            let bytes = &mut block[..as_len(run.min(self.quantum()))];
            let from = slice.source + (position - slice.positions.start);
            self.file.content.read(from, bytes);
            if self.course.corrupts() {
                invert(bytes);
            }
            self.pass(bytes.len()).await;
            position += as_bytes(bytes.len());
            self.block(bytes, position == end && slice.after.is_empty()).await?;
        }
    }

    async fn block(&self, bytes: &[u8], last: bool) -> io::Result<()> {
        if self.framing == Framing::Chunked {
            let size = format!("{:x}\r\n", bytes.len());
            self.outbox.send(size.as_bytes(), Part::Frame, false).await?;
            self.outbox.send(bytes, Part::Payload, false).await?;
            return self.outbox.send(b"\r\n", Part::Frame, false).await;
        }
        self.outbox.send(bytes, Part::Payload, last).await
    }

    /// Fits the send buffer to the rate: small, so that little is handed over before it is sent.
    ///
    /// Only while paced: a full small buffer waits for delayed acknowledgements, which brought an
    /// unpaced transfer down to 3 MB/s, and one of 50 MB/s to 47.
    fn fit_buffer(&mut self) -> io::Result<()> {
        let paces = self.course.pacers().map(|pacer| pacer.rate());
        let paces = paces.chain(self.pacer.as_ref().map(Pacer::rate));
        let paces = paces.chain(self.file.line.as_ref().map(Line::rate));
        let rate = paces.min().unwrap_or(u64::MAX);
        let buffer = u32::try_from(rate / 50).map_or(WIDE, |bytes| bytes.clamp(NARROW, WIDE));
        self.set_buffer(buffer)
    }

    fn set_buffer(&mut self, buffer: u32) -> io::Result<()> {
        if self.buffer != buffer {
            self.outbox.buffer(buffer)?;
            self.buffer = buffer;
        }
        Ok(())
    }

    /// How much may be handed over at once here.
    fn quantum(&mut self) -> u64 {
        let paces = self.course.pacers().map(|pacer| pacer.quantum());
        let paces = paces.chain(self.pacer.as_ref().map(Pacer::quantum));
        let paces = paces.chain(self.file.line.as_ref().map(|line| line.quantum()));
        paces.map(as_bytes).fold(BLOCK, u64::min)
    }

    /// Waits until so many bytes may be sent.
    async fn pass(&mut self, bytes: usize) {
        for pacer in self.course.pacers() {
            pacer.pass(bytes).await;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.pass(bytes).await;
        }
        if let Some(line) = &self.file.line {
            line.pass(bytes).await;
        }
        // A fast client would otherwise keep the thread from all others.
        tokio::task::yield_now().await;
    }
}

/// Bytes per write without a pace: what a connection holds in memory. A guess; it reaches 0.4 GB/s
/// unoptimised and 0.8 to 1.3 GB/s optimised on two cores shared with the client.
const BLOCK: u64 = 256 * 1024;

/// Smallest send buffer, in bytes (Linux doubles it): one paced write.
const NARROW: u32 = 16 * 1024;

/// Send buffer without a pace, in bytes; the system lowers it to what it permits.
const WIDE: u32 = 4 * 1024 * 1024;
