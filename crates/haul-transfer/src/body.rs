//! From the socket to the file: positional writes, clamped to the end mark. Or, for a mirror in doubt, a comparison with
//! what the file holds.
//!
//! The hot path is one read, one claim, one write per piece of some 400 KB; nothing is copied or allocated.

use std::pin::{Pin, pin};

use bytes::Bytes;
use haul_core::messages::End;
use haul_core::{Fault, FaultKind};
use reqwest::Response;
use tokio::time::{Duration, Instant, Sleep, sleep_until, timeout};
use url::Url;

use crate::classify::{self, Phase};
use crate::{DiskFile, Lane, Limiter, Masked, limiter};

/// What is done with the bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// They are written.
    Write,
    /// They are compared with those that are there.
    Compare,
}

/// Where a body goes and what bounds it.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) used_to: Use,
    /// Bytes at its beginning that are there already and are compared, as far as they are still to come.
    pub(crate) overlap: u64,
    /// A strong validator says that it is of the version that is there: who sends other bytes then lies.
    pub(crate) vouched: bool,
    /// Where the body ends in the file, as its head declares.
    pub(crate) end: Option<u64>,
    /// The length of the file, where it is known.
    pub(crate) total: Option<u64>,
    /// Where it comes from, for messages.
    pub(crate) url: &'a Url,
    pub(crate) lane: &'a Lane,
    pub(crate) limiters: &'a [Limiter],
    /// How long to wait for the next byte.
    pub(crate) stall: Duration,
    pub(crate) file: &'a DiskFile,
}

/// Whether a piece was used as a whole.
enum Used {
    /// It was, unless the worker has been asked to stop.
    All,
    /// The end mark came first; these bytes are behind it.
    UpToTheEnd(Vec<u8>),
}

impl Body<'_> {
    /// Makes use of the body from the lane's offset on, until its end, the end mark, or a stop.
    ///
    /// The end mark is read before each wait and with each piece, because it may have been moved meanwhile.
    pub(crate) async fn transfer(&mut self, mut response: Response) -> Result<End, Fault> {
        let mut changed = pin!(self.lane.changed());
        changed.as_mut().enable();
        let mut silence = Silence::new(self.stall);
        let mut alarm = pin!(sleep_until(silence.deadline()));
        let mut turn_ends_at = self.lane.at() + TURN_BYTES;
        loop {
            if self.lane.is_stopped() {
                return Ok(End::Stopped);
            }
            if self.lane.close_if_reached() {
                // Where the overlap has not come yet, what comes next is not what lies behind the end mark.
                if self.overlap == 0 {
                    self.read_on(response, Vec::new()).await;
                }
                return Ok(End::Finished);
            }
            let piece = tokio::select! {
                biased;
                piece = response.chunk() => piece,
                () = changed.as_mut() => {
                    changed.set(self.lane.changed());
                    changed.as_mut().enable();
                    continue;
                }
                () = alarm.as_mut() => {
                    silence.judge(alarm.as_mut(), self.url)?;
                    continue;
                }
            };
            let piece = piece.map_err(|error| classify::transfer_fault(&error, Phase::Body, self.url))?;
            let Some(piece) = piece else {
                return self.at_end_of_body();
            };
            self.lane.note_byte();
            if let Used::UpToTheEnd(beyond) = self.take(piece).await? {
                self.read_on(response, beyond).await;
                return Ok(End::Finished);
            }
            silence.broken();
            if self.lane.at() >= turn_ends_at {
                // A fast socket is never empty, and its worker would go on until the runtime stops it.
                tokio::task::yield_now().await;
                turn_ends_at = self.lane.at() + TURN_BYTES;
            }
        }
    }

    /// Takes a piece, in slices where a bandwidth limit would make it jerk. Each is paid for before it is used, so that a
    /// limit holds from the first byte on, and however many workers obey it.
    async fn take(&mut self, mut piece: Bytes) -> Result<Used, Fault> {
        while !piece.is_empty() && !self.lane.is_stopped() {
            let mut len = as_u64(piece.len()).min(limiter::slice(self.limiters));
            if self.overlap > 0 {
                len = len.min(self.overlap);
                let slice = piece.split_to(as_usize(len));
                if !limiter::pay(self.limiters, len, self.lane).await {
                    break;
                }
                let kind = if self.vouched { FaultKind::RangeMismatch } else { FaultKind::BytesDiffer };
                self.compare(&slice, self.lane.at() - self.overlap, kind)?;
                self.overlap -= len;
                continue;
            }
            let slice = piece.split_to(as_usize(len));
            let allowed = self.lane.claim(len);
            if !limiter::pay(self.limiters, allowed, self.lane).await || !self.has_room().await {
                break;
            }
            let at = self.lane.at();
            let (slice, behind) = slice.split_at(as_usize(allowed));
            match self.used_to {
                Use::Write => {
                    self.file
                        .write_all_at(slice, at)
                        .map_err(|error| self.file.fault(&error, "cannot write the part file"))?;
                    self.lane.sum_up(at, slice);
                }
                Use::Compare => self.compare(slice, at, FaultKind::BytesDiffer)?,
            }
            self.lane.advance(at + allowed);
            if allowed < len {
                let mut beyond = behind[..behind.len().min(BEYOND_BYTES)].to_vec();
                beyond.extend_from_slice(&piece[..piece.len().min(BEYOND_BYTES)]);
                return Ok(Used::UpToTheEnd(beyond));
            }
        }
        Ok(Used::All)
    }

    /// Waits until more may be written: a slow disk holds the socket up, not the memory (F-DISK-15). False when the lane was
    /// stopped before.
    async fn has_room(&self) -> bool {
        if self.used_to == Use::Compare || !self.file.is_full_of_unsynced() {
            return true;
        }
        let _rest = self.lane.rest();
        tokio::select! {
            biased;
            () = self.lane.stopped() => false,
            () = self.file.room() => true,
        }
    }

    /// Compares bytes with those that the file has at `at`.
    fn compare(&self, bytes: &[u8], mut at: u64, kind: FaultKind) -> Result<(), Fault> {
        let mut buffer = [0; COMPARED_BYTES];
        for bytes in bytes.chunks(COMPARED_BYTES) {
            let known = &mut buffer[..bytes.len()];
            self.file.read_exact_at(known, at).map_err(|error| self.file.fault(&error, "cannot read the part file"))?;
            if known != bytes {
                let same = as_u64(known.iter().zip(bytes).take_while(|(known, sent)| known == sent).count());
                let detail = format!("{} sent another byte {} than is there", Masked(self.url), at + same);
                return Err(Fault::new(kind, detail));
            }
            at += as_u64(bytes.len());
        }
        Ok(())
    }

    /// hyper calls it a clean end when a body without a length breaks off, so it is compared with what is known.
    fn at_end_of_body(&self) -> Result<End, Fault> {
        let at = self.lane.at();
        match self.end.or(self.total) {
            Some(end) if at < end => {
                let detail = format!("the answer from {} ended at byte {at} of {end}", Masked(self.url));
                Err(Fault::new(FaultKind::Truncated, detail))
            }
            Some(_) | None => Ok(End::Finished),
        }
    }

    /// Reads on behind the end mark, for whoever compares what is there; and to the end of the body where that is near, so
    /// that its connection can be used again.
    async fn read_on(&self, mut response: Response, mut beyond: Vec<u8>) {
        let left = self.end.map(|end| as_usize(end.saturating_sub(self.lane.at())));
        let wanted = left.map_or(BEYOND_BYTES, |left| left.min(BEYOND_BYTES));
        let rest = async {
            while beyond.len() < wanted {
                match response.chunk().await {
                    Ok(Some(piece)) => beyond.extend_from_slice(&piece[..piece.len().min(BEYOND_BYTES)]),
                    Ok(None) | Err(_) => return,
                }
            }
            if left == Some(wanted) {
                // No byte is left to wait for.
                let _at_end = response.chunk().await.is_ok();
            }
        };
        // A connection that does not deliver in time is closed.
        let _all_came = timeout(BEYOND_MAX, rest).await.is_ok();
        beyond.truncate(wanted);
        if self.used_to == Use::Write && !beyond.is_empty() {
            self.lane.note_beyond(beyond.into());
        }
    }
}

/// Bytes that a worker writes before the others on its thread get their turn. With 32 fast workers a new one waits
/// some 10 ms for each step of its connection; without, seconds.
const TURN_BYTES: u64 = 1 << 20;

/// Bytes that are compared at once, on the stack.
const COMPARED_BYTES: usize = 16 << 10;

/// Bytes behind the end mark that are kept (DESIGN.md section 5).
const BEYOND_BYTES: usize = 4 << 10;

/// How long they may take, and the end of a body of which no byte is left. A guess: who is that slow is not waited for.
const BEYOND_MAX: Duration = Duration::from_millis(200);

/// Measures how long nothing has come.
///
/// The alarm is not set anew with each piece: when it goes off, it is compared with the last piece.
struct Silence {
    stall: Duration,
    since: Instant,
}

impl Silence {
    fn new(stall: Duration) -> Self {
        Self { stall, since: Instant::now() }
    }

    fn broken(&mut self) {
        self.since = Instant::now();
    }

    fn deadline(&self) -> Instant {
        self.since + self.stall
    }

    /// Sets the alarm anew, unless it is silent for too long already.
    fn judge(&mut self, alarm: Pin<&mut Sleep>, url: &Url) -> Result<(), Fault> {
        let now = Instant::now();
        if now >= self.deadline() {
            if now - self.deadline() < LATE {
                let seconds = self.stall.as_secs_f64();
                let detail = format!("nothing came from {} for {seconds} s", Masked(url));
                return Err(Fault::new(FaultKind::Stall, detail));
            }
            // The thread itself was held up, by a slow disk or a suspended machine: what came
            // meanwhile is still in the socket.
            self.since = now;
        }
        alarm.reset(self.deadline());
        Ok(())
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits 64 bits")
}

fn as_usize(len: u64) -> usize {
    usize::try_from(len).expect("it is at most the length of a slice")
}

/// Beyond this a timer's lateness is that of the thread. Timers tick in milliseconds.
const LATE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_was_held_up_is_no_stall() {
        let url = Url::parse("http://host/").expect("a URL");
        let mut alarm = pin!(sleep_until(Instant::now()));
        let stall = Duration::from_secs(5);
        let now = Instant::now();
        let mut silence = Silence { stall, since: now };
        silence.judge(alarm.as_mut(), &url).expect("a piece has just come");
        assert_eq!(alarm.deadline(), now + stall);
        silence.since = now - stall;
        let fault = silence.judge(alarm.as_mut(), &url).expect_err("a stall");
        assert_eq!(fault.kind, FaultKind::Stall);
        silence.since = now - stall * 2;
        silence.judge(alarm.as_mut(), &url).expect("far too late for a timer");
        assert!(alarm.deadline() >= now + stall);
    }
}
