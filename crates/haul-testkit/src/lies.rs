//! Bending the truthful answer.

use std::ops::Range;

use crate::answer::{Answer, Body};
use crate::as_bytes;
use crate::as_len;
use crate::fault::Do;
use crate::file::{File, Framing};

/// What is done about a request.
#[derive(Debug)]
pub(crate) enum Conduct {
    Answer(Answer),
    /// These bytes, then a FIN.
    Raw(Vec<u8>),
    /// Nothing, with the socket open.
    Silence,
    /// A FIN.
    HangUp,
}

/// What becomes of a truthful answer under a fault. Faults of the body leave it as it is.
pub(crate) fn bend(mut answer: Answer, action: &Do, file: &File) -> Conduct {
    if answer.status != 206 && needs_part(action) {
        return Conduct::Answer(answer);
    }
    let (positions, total) = (answer.positions(), file.content.len());
    match action {
        Do::Status(status, headers) => answer = of_status(*status, headers),
        Do::NeverAnswer => return Conduct::Silence,
        Do::HangUp => return Conduct::HangUp,
        Do::GarbageHeaders => return Conduct::Raw(GARBAGE.to_vec()),
        Do::WrongStart(delta) => {
            let start = positions.start.saturating_add_signed(*delta);
            move_to(&mut answer, start.min(positions.end - 1)..positions.end, total);
        }
        Do::ShortRange(n) => {
            let end = positions.start.saturating_add((*n).max(1));
            move_to(&mut answer, positions.start..end.min(positions.end), total);
        }
        Do::WrongBody => take_from_start(&mut answer),
        Do::MissingContentRange => answer.remove("Content-Range"),
        Do::WrongTotal(wrong) => answer.set_content_range(&positions, *wrong),
        Do::Multipart => wrap(&mut answer, &positions, file),
        Do::ChunkedRange => {
            answer.framing = Framing::Chunked;
            answer.declare(0);
        }
        Do::FullInstead => answer = Answer::full(file),
        Do::Html => answer = portal(),
        Do::ExtraBytes(n) => add_after(&mut answer, *n),
        Do::HugeHeaders => answer.headers.extend(huge_headers()),
        Do::TwoLengths => {
            let other = (positions.end - positions.start + 10).to_string();
            answer.headers.push(("Content-Length".to_owned(), other));
        }
        Do::Delay(_)
        | Do::Etag(_)
        | Do::ResetAfter(_)
        | Do::CloseAfter(_)
        | Do::StallAfter(_)
        | Do::Trickle(_)
        | Do::Corrupt => {}
    }
    Conduct::Answer(answer)
}

/// Whether it is a lie about ranges.
fn needs_part(action: &Do) -> bool {
    matches!(
        action,
        Do::WrongStart(_)
            | Do::WrongBody
            | Do::MissingContentRange
            | Do::Multipart
            | Do::ChunkedRange
            | Do::ShortRange(_)
            | Do::WrongTotal(_)
            | Do::FullInstead
    )
}

fn take_from_start(answer: &mut Answer) {
    if let Body::Slice(slice) = &mut answer.body {
        slice.source = 0;
    }
}

/// Makes it a multipart answer with one part.
fn wrap(answer: &mut Answer, positions: &Range<u64>, file: &File) {
    let Body::Slice(slice) = &mut answer.body else {
        return;
    };
    let (first, last, total) = (positions.start, positions.end - 1, file.content.len());
    let content_type = &file.content_type;
    slice.before =
        format!("--{BOUNDARY}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{total}\r\n\r\n")
            .into_bytes();
    slice.after = format!("\r\n--{BOUNDARY}--\r\n").into_bytes();
    let around = as_bytes(slice.before.len() + slice.after.len());
    answer.declare(positions.end - positions.start + around);
    answer.remove("Content-Range");
    answer.set("Content-Type", &format!("multipart/byteranges; boundary={BOUNDARY}"));
}

/// Makes it a consistent 206 of another range.
fn move_to(answer: &mut Answer, positions: Range<u64>, total: u64) {
    answer.set_content_range(&positions, total);
    answer.declare(positions.end - positions.start);
    if let Body::Slice(slice) = &mut answer.body {
        slice.source = positions.start;
        slice.positions = positions;
    }
}

/// Adds what a declared length does not cover. Without one there is no surplus.
fn add_after(answer: &mut Answer, surplus: u64) {
    if answer.framing == Framing::Length
        && let Body::Slice(slice) = &mut answer.body
    {
        slice.after.resize(slice.after.len() + as_len(surplus), b'!');
    }
}

/// An answer that consists of a status; the test kit's text says so.
pub(crate) fn of_status(status: u16, headers: &[(String, String)]) -> Answer {
    let mut answer = Answer::text(status, format!("status {status}, as the test ordered\n"));
    for (name, value) in headers {
        answer.set(name, value);
    }
    answer
}

fn portal() -> Answer {
    let page = "<!DOCTYPE html><html><title>Welcome</title><p>Please log in to use this network.\n";
    let mut answer = Answer::text(200, page.to_owned());
    answer.set("Content-Type", "text/html; charset=utf-8");
    answer
}

fn huge_headers() -> impl Iterator<Item = (String, String)> {
    (0..256).map(|n| (format!("X-Huge-{n}"), "h".repeat(4096)))
}

/// Separates the parts of a multipart answer.
const BOUNDARY: &str = "haul-testkit";

/// Starts like HTTP and goes on like noise.
const GARBAGE: &[u8] =
    b"HTTP/1.1 206 Partial Content\r\n\x01\x02 no colon here\r\n\xff\xfe: \x00\r\nContent-Length: banana\r\n\r\n";
