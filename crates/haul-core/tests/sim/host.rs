//! Virtual servers: how they serve, and every way in which they misbehave.

use std::time::Duration;

use haul_core::{ByteRange, Fault, FaultKind, Rng, Time};

use crate::contents::Make;

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// From a request to its answer.
    pub(crate) latency: Duration,
    /// From nothing to a connection.
    pub(crate) connect: Duration,
    /// Bytes per second of one connection.
    pub(crate) per_connection: f64,
    /// Bytes per second of all connections together.
    pub(crate) link: f64,
    /// The engine has said that it leaves the host alone until then.
    pub(crate) left_alone_until: Time,
    /// Connections that it serves at a time, and what the others get.
    pub(crate) cap: Option<(u32, OverCap)>,
    /// When it serves nobody, and how that looks.
    pub(crate) outages: Vec<(Time, Time, Outage)>,
    /// Connections that are being served.
    pub(crate) served: u32,
}

/// What a connection above a host's cap gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverCap {
    Status(u16, Option<Duration>),
    Reset,
    NoAnswer,
}

/// What a request meets while its host is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    Refused,
    NoConnection,
    NoAnswer,
    Status(u16, Option<Duration>),
    Dns,
}

/// One file on a server, and what can happen to requests for it.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) bytes: u64,
    /// What its bytes look like at first.
    pub(crate) make: Make,
    /// Bytes that are wrong, for want of a better disk.
    pub(crate) wrong: Vec<ByteRange>,
    /// Counts up when the source changes.
    pub(crate) version: u32,
    pub(crate) changes_at: Vec<Time>,
    pub(crate) tells_length: bool,
    pub(crate) ranges: Ranges,
    /// Every answer is this status.
    pub(crate) status: Option<u16>,
    /// From then on, every answer is this status.
    pub(crate) dies: Option<(Time, u16)>,
    /// Each request draws one of these with this chance, as long as the budget lasts.
    pub(crate) mishaps: Vec<Mishap>,
    pub(crate) mishap_chance: f64,
    pub(crate) mishaps_left: u32,
    /// Regions that trickle at this rate for the first so many requests.
    pub(crate) slow: Vec<Slow>,
    /// A link opens the door for this long after it was resolved.
    pub(crate) link_lasts: Option<Duration>,
    pub(crate) link_until: Time,
    /// How often the submitted URL still leads to a fresh link.
    pub(crate) links_left: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) region: ByteRange,
    pub(crate) rate: f64,
    pub(crate) requests_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    Yes,
    /// Answers 200 to every range.
    No,
    /// Answers the first request with 206, and 200 to what does not start at 0.
    OnlyFromZero,
    /// Answers 200 to one range in so many.
    Sometimes(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The connection breaks after some bytes.
    Reset,
    /// Silence after some bytes.
    Stall,
    /// The body ends early.
    Truncated,
    /// A shorter 206 than was asked for, honestly declared.
    Shorter,
    /// No answer.
    NoAnswer,
    /// A reset instead of an answer.
    ResetAtOnce,
    Status(u16),
    /// A 206 with another range.
    RangeMismatch,
    Malformed,
    Interference,
    /// Ours: out of descriptors.
    Local,
    /// Ours: a worker's defect.
    Internal,
}

/// What becomes of a request once its answer would begin.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It fails, this much later.
    Fault(Duration, Fault),
    Body(Body),
}

/// An answer with a body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) total: Option<u64>,
    pub(crate) partial: bool,
    /// What its bytes look like, where they are not wrong.
    pub(crate) make: Make,
    /// Where the body ends.
    pub(crate) end: u64,
    /// Where something happens to it, and what.
    pub(crate) mishap: Option<(u64, Mishap)>,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) from: u64,
    /// `None`: as far as the file goes.
    pub(crate) end: Option<u64>,
    pub(crate) ranged: bool,
    pub(crate) resolve: bool,
    /// The version that the job's bytes from here are of.
    pub(crate) known_version: Option<u32>,
    /// The length that the job's file has.
    pub(crate) known_total: Option<u64>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

/// From the make of one version to that of the next.
const VERSIONS_APART: Make = 1_000;

/// From a make to what it looks like where it is wrong.
const WRONG: Make = 500;

/// Tells whether bytes that look like this are wrong in the eyes of whoever serves them.
pub(crate) fn is_wrong(make: Make) -> bool {
    make % VERSIONS_APART >= WRONG
}

impl Host {
    /// A fast host without a fault.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            latency: Duration::from_millis(10),
            connect: Duration::from_millis(10),
            per_connection: f64::INFINITY,
            link: f64::INFINITY,
            left_alone_until: Time::ZERO,
            cap: None,
            outages: Vec::new(),
            served: 0,
        }
    }

    pub(crate) fn outage(&self, now: Time) -> Option<Outage> {
        self.outages.iter().find(|(from, to, _)| (*from..*to).contains(&now)).map(|(.., outage)| *outage)
    }
}

impl File {
    pub(crate) fn plain(bytes: u64) -> Self {
        Self {
            bytes,
            make: 0,
            wrong: Vec::new(),
            version: 0,
            changes_at: Vec::new(),
            tells_length: true,
            ranges: Ranges::Yes,
            status: None,
            dies: None,
            mishaps: Vec::new(),
            mishap_chance: 0.0,
            mishaps_left: 0,
            slow: Vec::new(),
            link_lasts: None,
            link_until: Time::ZERO,
            links_left: 0,
        }
    }

    /// What its bytes look like now, where they are not wrong. Each version differs from every other in all bytes.
    fn make_now(&self) -> Make {
        self.make + self.version * VERSIONS_APART
    }

    /// What the bytes of a range of a body look like, in order.
    pub(crate) fn pieces(&self, body: Make, range: ByteRange) -> Vec<(ByteRange, Make)> {
        let mut edges: Vec<u64> = self.wrong.iter().flat_map(|wrong| [wrong.start, wrong.end]).collect();
        edges.retain(|edge| range.start < *edge && *edge < range.end);
        edges.extend([range.start, range.end]);
        edges.sort_unstable();
        let is_wrong = |at| self.wrong.iter().any(|wrong| wrong.contains(at));
        let piece =
            |pair: &[u64]| (ByteRange::new(pair[0], pair[1]), if is_wrong(pair[0]) { body + WRONG } else { body });
        edges.windows(2).map(piece).collect()
    }

    /// Applies changes of the source that are due, its death included.
    pub(crate) fn age(&mut self, now: Time) {
        if let Some((_, status)) = self.dies.filter(|(at, _)| *at <= now) {
            self.status = Some(status);
        }
        while self.changes_at.first().is_some_and(|at| *at <= now) {
            self.changes_at.remove(0);
            self.version += 1;
        }
    }
}

fn fault(after: Duration, kind: FaultKind) -> Answer {
    Answer::Fault(after, Fault::new(kind, format!("virtual {}", kind.code())))
}

fn status(status: u16, retry_after: Option<Duration>) -> Answer {
    let kind = FaultKind::Status(status);
    Answer::Fault(Duration::ZERO, Fault { retry_after, ..Fault::new(kind, format!("virtual status {status}")) })
}

/// Decides what a request gets, at the time at which its answer would begin.
pub(crate) fn answer(rng: &mut Rng, now: Time, host: &Host, file: &mut File, request: Request) -> Answer {
    file.age(now);
    match host.outage(now) {
        Some(Outage::Refused) => return fault(Duration::ZERO, FaultKind::Connect),
        Some(Outage::Dns) => return fault(Duration::ZERO, FaultKind::Dns),
        Some(Outage::NoConnection) => return fault(request.connect_timeout, FaultKind::Connect),
        Some(Outage::NoAnswer) => return fault(request.response_timeout, FaultKind::NoAnswer),
        Some(Outage::Status(code, retry_after)) => return status(code, retry_after),
        None => {}
    }
    if let Some((cap, over)) = host.cap
        && host.served >= cap
    {
        return match over {
            OverCap::Status(code, retry_after) => status(code, retry_after),
            OverCap::Reset => fault(Duration::ZERO, FaultKind::Reset),
            OverCap::NoAnswer => fault(request.response_timeout, FaultKind::NoAnswer),
        };
    }
    if let Some(code) = file.status {
        return status(code, None);
    }
    if let Some(lasts) = file.link_lasts {
        if request.resolve && file.links_left > 0 {
            file.links_left -= 1;
            file.link_until = now + lasts;
        }
        if now >= file.link_until {
            return status(403, None);
        }
    }
    let mishap = draw(rng, file);
    let mishap = match mishap {
        Some(Mishap::NoAnswer) => return fault(request.response_timeout, FaultKind::NoAnswer),
        Some(Mishap::ResetAtOnce) => return fault(Duration::ZERO, FaultKind::Reset),
        Some(Mishap::Status(code)) => return status(code, None),
        Some(Mishap::Malformed) => return fault(Duration::ZERO, FaultKind::MalformedResponse),
        Some(Mishap::Interference) => return fault(Duration::ZERO, FaultKind::Interference),
        Some(Mishap::Local) => return fault(Duration::ZERO, FaultKind::Local),
        Some(Mishap::RangeMismatch) if request.ranged => return fault(Duration::ZERO, FaultKind::RangeMismatch),
        other => other,
    };
    let is_another = request.known_version.is_some_and(|known| known != file.version);
    if is_another || request.known_total.is_some_and(|total| total != file.bytes) {
        return fault(Duration::ZERO, FaultKind::SourceChanged);
    }
    let honoured = match file.ranges {
        Ranges::Yes => true,
        Ranges::No => false,
        Ranges::OnlyFromZero => request.from == 0,
        Ranges::Sometimes(one_in) => rng.below(one_in) > 0,
    };
    if request.from > 0 && !honoured {
        return fault(Duration::ZERO, FaultKind::RangesRefused);
    }
    // A ranged request from 0 that is answered with 200 is fine, it just tells that there are no ranges.
    let partial = request.ranged && honoured;
    let asked_end = request.end.unwrap_or(file.bytes).min(file.bytes);
    let length = asked_end.saturating_sub(request.from);
    let total = file.tells_length.then_some(file.bytes);
    let mut body = Body { total, partial, make: file.make_now(), end: asked_end, mishap: None };
    if let Some(mishap) = mishap {
        let at = request.from + rng.below(length + 1);
        if mishap == Mishap::Shorter && partial && file.tells_length {
            body.end = at.max(request.from + 1).min(asked_end);
        } else if !matches!(mishap, Mishap::Shorter | Mishap::RangeMismatch) {
            body.mishap = Some((at, mishap));
        }
    }
    Answer::Body(body)
}

fn draw(rng: &mut Rng, file: &mut File) -> Option<Mishap> {
    if file.mishaps_left == 0 || file.mishaps.is_empty() || rng.unit() >= file.mishap_chance {
        return None;
    }
    file.mishaps_left -= 1;
    let index = usize::try_from(rng.below(file.mishaps.len() as u64)).expect("a small number");
    Some(file.mishaps[index])
}
