//! Schedulers to compare with: pieces that are cut once and never again, in a queue, with a floor or without one.
//!
//! Each makes one probe, cuts the file, and keeps its workers busy with the queue. A worker's bytes are kept, whatever
//! ended it; what it did not fetch goes to the end of the queue, at once if it brought anything, else after a second.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haul_core::messages::{Command, Effect, End, Event, Fetch, FetchKind, StopReason, Timeouts};
use haul_core::{JobId, MirrorIndex, Policy, Time, WorkerId, plan};

use crate::brain::Brain;

/// How a naive scheduler works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) pieces: Pieces,
    /// Bytes per second below which a worker is replaced.
    pub(crate) floor: Option<f64>,
    /// Retries of a piece after which the floor no longer applies to it.
    pub(crate) waived_after: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pieces {
    /// As the engine's plan has them.
    Chunks,
    /// One for each worker.
    Equal,
}

/// How often a worker's speed is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Looks that a verdict needs: 2.5 s.
const LOOKS: usize = 5;
/// The wait after an attempt that brought nothing.
const WAIT: Duration = Duration::from_secs(1);
const JOB: JobId = JobId(1);

#[derive(Debug)]
pub(crate) struct Naive {
    settings: Settings,
    connections: usize,
    total: Option<u64>,
    missing: u64,
    queue: VecDeque<Piece>,
    /// Pieces that wait for their time.
    waiting: VecDeque<(Time, Piece)>,
    workers: BTreeMap<WorkerId, Worker>,
    next_worker: u64,
    look_at: Time,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u64,
    end: Option<u64>,
    retries: u32,
}

#[derive(Debug)]
struct Worker {
    piece: Piece,
    from: u64,
    opened: bool,
    /// Where it was at the last looks.
    looks: VecDeque<u64>,
}

impl Naive {
    pub(crate) fn new(settings: Settings, connections: u32) -> Self {
        Self {
            settings,
            connections: connections as usize,
            total: None,
            missing: 0,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            workers: BTreeMap::new(),
            next_worker: 1,
            look_at: Time::ZERO,
            effects: VecDeque::new(),
        }
    }

    fn schedule(&mut self) {
        let room = if self.total.is_some() { self.connections } else { 1 };
        while self.workers.len() < room
            && let Some(piece) = self.queue.pop_front()
        {
            self.fetch(piece);
        }
    }

    fn fetch(&mut self, piece: Piece) {
        let policy = Policy::default();
        let worker = WorkerId(self.next_worker);
        self.next_worker += 1;
        self.workers.insert(worker, Worker { piece, from: piece.at, opened: false, looks: VecDeque::new() });
        let kind = if self.total.is_some() { FetchKind::Range } else { FetchKind::Probe };
        let timeouts = Timeouts {
            connect: policy.connect_timeout,
            response: policy.response_timeout,
            stall: policy.stall_timeout,
        };
        let (from, end) = (piece.at, piece.end);
        self.effects.push_back(Effect::Fetch(Fetch {
            worker,
            job: JOB,
            mirror: MirrorIndex(0),
            kind,
            from,
            end,
            overlap: 0,
            reach: 0,
            resolve: false,
            timeouts,
        }));
    }

    fn opened(&mut self, id: WorkerId, total: u64) {
        let worker = self.workers.get_mut(&id).expect("only running workers open");
        worker.opened = true;
        if self.total.is_some() {
            return;
        }
        self.total = Some(total);
        self.missing = total;
        let ends: Vec<u64> = match self.settings.pieces {
            Pieces::Chunks => plan::chunks(total).map(|range| range.end).collect(),
            Pieces::Equal => {
                let pieces = total.min(self.connections as u64);
                (1..=pieces)
                    .map(|piece| u64::try_from(u128::from(total) * u128::from(piece) / u128::from(pieces)))
                    .map(|end| end.expect("a part of the total"))
                    .collect()
            }
        };
        worker.piece.end = Some(ends[0]);
        self.effects.push_back(Effect::SetEnd { worker: id, end: ends[0] });
        let rest = ends.windows(2).map(|pair| Piece { at: pair[0], end: Some(pair[1]), retries: 0 });
        self.queue.extend(rest);
    }

    fn ended(&mut self, now: Time, id: WorkerId, at: u64, end: &End) {
        let worker = self.workers.remove(&id).expect("a worker ends once");
        self.missing -= if self.total.is_some() { at - worker.from } else { 0 };
        let rest = Piece { at, retries: worker.piece.retries + 1, ..worker.piece };
        if rest.end == Some(at) {
            if self.missing == 0 {
                self.effects.push_back(Effect::Seal(JOB));
            }
        } else if at > worker.from || *end == End::Stopped {
            self.queue.push_back(rest);
        } else {
            self.waiting.push_back((now + WAIT, rest));
        }
    }

    /// Ends the workers that are below the floor.
    fn look(&mut self, floor: f64) {
        for (id, worker) in self.workers.iter_mut().filter(|(_, worker)| worker.opened) {
            worker.looks.push_back(worker.piece.at);
            if worker.looks.len() <= LOOKS {
                continue;
            }
            let before = worker.looks.pop_front().expect("there are some");
            let speed = (worker.piece.at - before) as f64 / (EVERY.as_secs_f64() * LOOKS as f64);
            if speed < floor && worker.piece.retries < self.settings.waived_after {
                worker.opened = false;
                self.effects.push_back(Effect::Stop { worker: *id, reason: StopReason::BelowFloor });
            }
        }
    }
}

impl Brain for Naive {
    fn command(&mut self, _: Time, command: Command) {
        assert!(matches!(command, Command::Start(JOB, _)), "it knows one job only");
        self.queue.push_back(Piece { at: 0, end: None, retries: 0 });
        self.schedule();
    }

    fn event(&mut self, now: Time, event: Event) {
        match event {
            Event::Opened { worker, total, .. } => self.opened(worker, total.expect("hosts here tell the length")),
            Event::Progress { worker, at, .. } => {
                self.workers.get_mut(&worker).expect("only running workers report").piece.at = at;
                return;
            }
            Event::WorkerEnded { worker, at, end } => self.ended(now, worker, at, &end),
            Event::EndSet { .. } | Event::ResetDone(_) | Event::Sealed(_) | Event::SealFailed(..) => {}
            Event::ReadBeyond { .. } | Event::SeamCompared { .. } | Event::Woke => {}
        }
        self.schedule();
    }

    fn handle_timeout(&mut self, now: Time) {
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            let (_, piece) = self.waiting.pop_front().expect("it was just there");
            self.queue.push_back(piece);
        }
        if let Some(floor) = self.settings.floor
            && self.look_at <= now
        {
            self.look_at = now + EVERY;
            self.look(floor);
        }
        self.schedule();
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let waiting = self.waiting.front().map(|(until, _)| *until);
        let look = self.settings.floor.map(|_| self.look_at);
        waiting.into_iter().chain(look).min()
    }
}
