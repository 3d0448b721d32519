//! One connection: a request, its answer, the next request.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::body;
use crate::course::{Course, Stop};
use crate::entry::{Admission, Entry, Shared};
use crate::fault::{Do, Rule};
use crate::file::Framing;
use crate::head::Head;
use crate::lies::{Conduct, bend, of_status};
use crate::outbox::{Outbox, Part};

/// Serves a connection until one side has had enough.
pub(crate) async fn serve(stream: &TcpStream, connection: u64, shared: &Shared) -> io::Result<()> {
    let mut inbox = Vec::new();
    while let Some(head) = next_head(stream, &mut inbox).await? {
        let next = tokio::select! {
            biased;
            next = respond(stream, connection, &head, shared) => next?,
            // A client that has gone is noticed at once, also while nothing is sent.
            () = gone(stream, &mut inbox) => return Ok(()),
        };
        match next {
            Next::Request if !head.wants_close() => {}
            Next::Request | Next::Close => return Ok(()),
            Next::Reset => {
                sleep(RESET_GRACE).await;
                return stream.set_zero_linger();
            }
        }
    }
    Ok(())
}

/// What follows an answer.
enum Next {
    Request,
    Close,
    Reset,
}

async fn next_head(stream: &TcpStream, inbox: &mut Vec<u8>) -> io::Result<Option<Head>> {
    loop {
        match Head::take(inbox) {
            Ok(Some(head)) => return Ok(Some(head)),
            Err(_) => return Ok(None),
            Ok(None) if inbox.len() > INBOX_MAX => return Ok(None),
            Ok(None) => {}
        }
        if !receive(stream, inbox).await? {
            return Ok(None);
        }
    }
}

/// Reads what has come into `inbox`; false once the client sends no more. Cancel safe.
async fn receive(stream: &TcpStream, inbox: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        stream.readable().await?;
        match stream.try_read_buf(inbox) {
            Ok(read) => return Ok(read > 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Completes once the client has closed its side. Cancel safe: what it sends early is in `inbox`.
async fn gone(stream: &TcpStream, inbox: &mut Vec<u8>) {
    while inbox.len() <= INBOX_MAX {
        if !matches!(receive(stream, inbox).await, Ok(true)) {
            return;
        }
    }
    std::future::pending().await
}

async fn respond(stream: &TcpStream, connection: u64, head: &Head, shared: &Shared) -> io::Result<Next> {
    let entry = shared.file(&head.path);
    let total = entry.as_ref().map_or(0, |entry| entry.file.content.len());
    let outbox = Outbox::new(stream, shared.log.begin(connection, head, total));
    let Some(entry) = entry else {
        return say(&outbox, 404, head).await;
    };
    if !matches!(head.method.as_str(), "GET" | "HEAD" | "POST") {
        return say(&outbox, 405, head).await;
    }
    match entry.admit() {
        Admission::Crowded(status) => say(&outbox, status, head).await,
        Admission::Admitted(ordinal, _presence) => {
            let rules = entry.rules.iter();
            let rules: Vec<_> = rules.filter(|r| r.concerns(ordinal, connection)).collect();
            misbehave(&outbox, head, &entry, &rules).await
        }
    }
}

/// Answers with a status alone.
async fn say(outbox: &Outbox<'_>, status: u16, head: &Head) -> io::Result<Next> {
    body::send_text(outbox, &of_status(status, &[]), head.method == "HEAD").await?;
    Ok(Next::Request)
}

/// Answers for a file, as truthfully as its faults permit.
async fn misbehave(outbox: &Outbox<'_>, head: &Head, entry: &Entry, rules: &[&Rule]) -> io::Result<Next> {
    let named = rules.iter().find_map(|rule| {
        let Do::Etag(tag) = &rule.action else { return None };
        Some(entry.file.clone().etag(tag))
    });
    let file = named.as_ref().unwrap_or(&entry.file);
    let truth = Answer::truthful(file, head);
    wait(entry, &truth, rules).await;
    let lie = rules.iter().find(|rule| is_lie(&rule.action) && strikes(rule, &truth));
    let conduct = match lie {
        Some(rule) => bend(truth, &rule.action, file),
        None => Conduct::Answer(truth),
    };
    match conduct {
        Conduct::Silence => std::future::pending().await,
        Conduct::HangUp => Ok(Next::Close),
        Conduct::Raw(bytes) => {
            outbox.send(&bytes, Part::Frame, true).await?;
            Ok(Next::Close)
        }
        Conduct::Answer(answer) => {
            let course = Course::new(rules, &answer.positions());
            let head_only = head.method == "HEAD";
            match body::send(outbox, &answer, file, course, head_only).await? {
                Some(Stop::Reset) => Ok(Next::Reset),
                Some(Stop::Close) => Ok(Next::Close),
                Some(Stop::Stall) => std::future::pending().await,
                None if answer.framing == Framing::Close => Ok(Next::Close),
                None => Ok(Next::Request),
            }
        }
    }
}

/// Waits as long as the file and its faults want.
async fn wait(entry: &Entry, truth: &Answer, rules: &[&Rule]) {
    let mut delay = entry.file.delay.unwrap_or_default();
    for rule in rules {
        if let Do::Delay(more) = rule.action
            && strikes(rule, truth)
        {
            delay += more;
        }
    }
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

/// Whether it changes the answer.
fn is_lie(action: &Do) -> bool {
    !action.is_of_body() && !matches!(action, Do::Delay(_) | Do::Etag(_))
}

/// Whether a fault of the answer hits this one; a region is then counted.
fn strikes(rule: &Rule, truth: &Answer) -> bool {
    let positions = truth.positions();
    let part = rule.part_of(&positions);
    (!part.is_empty() || part == positions) && rule.claim()
}

/// What is given to the network to deliver the bytes before a RST, which discards the send buffer.
/// A guess; loopback needs well under a millisecond.
const RESET_GRACE: Duration = Duration::from_millis(20);

/// Bytes of requests that are kept; longer heads are not answered.
const INBOX_MAX: usize = 256 * 1024;
