//! The disk under a job: whether it is there and has space, and what is given up when it failed.
//!
//! Before the first worker of a job starts, and whenever its disk was full or gone, the disk is looked at: the directory
//! and the part file are opened, and the space that is missing is reserved. Only then is a server asked for anything.

use std::path::PathBuf;
use std::sync::Arc;

use haul_core::messages::{Command, End, Event, Fetch};
use haul_core::{Chunk, Fault, FaultKind, JobId, WaitingFor};
use haul_store::{Part, StoreError};
use haul_transfer::{PartFile, Place};
use tracing::{debug, error, info, warn};

use super::Driver;
use super::running::Then;
use super::tasks::{Done, Ready, blocking};
use crate::daemon::VOLUMES_SETTING;
use crate::submit::{Roots, keep_free};

/// Below this size, space is not reserved: the file is written before the reservation would be.
const RESERVE_FROM: u64 = 4 << 20;

/// What is looked for on the disk of a job.
struct Needs {
    dir: PathBuf,
    place: Option<Arc<Place>>,
    part: Option<Arc<PartFile>>,
    stored: Option<Part>,
    /// The length that the part file has at least.
    position: u64,
    /// The length that it will have, where that is known and space for it is to be reserved.
    total: Option<u64>,
    /// All bytes are there: sealing finds the file, whatever its name is by now.
    is_covered: bool,
    /// Only whether the part file can be opened counts: what it holds is looked at as at a start.
    is_unseen: bool,
}

impl Driver {
    /// The engine wants to know whether a waiting job can go on.
    pub(super) fn check_disk(&mut self, id: JobId) {
        let running = self.jobs.get_mut(&id).expect("the engine knows only jobs that run here");
        running.engine_asks = true;
        self.look_at_disk(id);
    }

    /// Looks at the disk of a job, unless somebody does.
    pub(super) fn look_at_disk(&mut self, id: JobId) {
        let rows = self.engine.chunks(self.now(), id);
        let is_covered = !rows.is_empty() && rows.iter().all(|(row, _)| row.missing() == 0);
        self.retry_roll_back(id);
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        if running.looking {
            return;
        }
        if let Some(fault) = running.held_up() {
            self.disk_ready(id, Err(fault));
            return;
        }
        running.looking = true;
        debug!(job = id.0, "looking at the disk");
        let dir = PathBuf::from(&running.row.wish.dir);
        let known = self.places.get(&dir).and_then(std::sync::Weak::upgrade);
        let needs = Needs {
            place: running.place.clone().or(known),
            part: running.part.clone(),
            stored: running.row.part.clone(),
            position: rows.iter().filter(|(row, _)| row.done > 0).map(|(row, _)| row.position()).max().unwrap_or(0),
            total: running.row.identity.total_bytes.filter(|total| running.is_short || *total >= RESERVE_FROM),
            is_covered,
            is_unseen: running.unseen,
            dir,
        };
        let roots = Arc::clone(&self.roots);
        self.tasks.push(Box::pin(async move {
            let ready = blocking(move || look(&roots, needs)).await;
            Done::DiskReady { id, ready }
        }));
    }

    pub(super) fn disk_ready(&mut self, id: JobId, ready: Result<Ready, Fault>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        running.looking = false;
        let engine_asks = std::mem::take(&mut running.engine_asks);
        let orders = std::mem::take(&mut running.waiting_orders);
        let fault = match ready {
            Ok(_) if std::mem::take(&mut running.unseen) => {
                self.take_up_again(id, &orders);
                return;
            }
            Ok(Ready { place, part }) => {
                running.must_look = false;
                running.is_short = false;
                running.place = Some(Arc::clone(&place));
                if let Some(part) = part {
                    running.row.part = Some(stored_part(&part));
                    running.part = Some(Arc::new(part));
                }
                self.places.retain(|_, place| place.strong_count() > 0);
                self.places.insert(place.path().to_owned(), Arc::downgrade(&place));
                self.save_volumes();
                for order in orders {
                    self.start_worker(&place, &order);
                }
                None
            }
            Err(fault) => {
                self.note_disk_fault(id, &fault);
                for order in orders {
                    self.worker_ended(order.worker, order.from, End::Fault(fault.clone()));
                }
                Some(fault)
            }
        };
        if engine_asks {
            self.event(Event::DiskChecked(id, fault.map_or(Ok(()), Err)));
        }
    }

    /// The disk of a job is there that was away when the job was taken up: it is taken up once more, so that what is there is
    /// compared with its rows (FAILURES.md, F-DISK-09).
    fn take_up_again(&mut self, id: JobId, orders: &[Fetch]) {
        self.jobs.get_mut(&id).expect("the caller holds the job").wanted_again = true;
        self.command(Command::Release(id));
        for order in orders {
            self.worker_ended(order.worker, order.from, End::Stopped);
        }
    }

    /// Has the disk looked at before the job's next worker starts; a volume that is gone is let go of, so that nobody keeps
    /// it from being unmounted.
    pub(super) fn note_disk_fault(&mut self, id: JobId, fault: &Fault) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match fault.kind.awaits_disk() {
            // Of a volume that is gone only what was synced will come back.
            Some(WaitingFor::Volume) if running.part.is_some() && !running.distrusted => {
                self.give_up_unsynced(id, fault);
            }
            Some(WaitingFor::Volume) => {
                running.must_look = true;
                running.place = None;
                running.part = None;
                let dir = PathBuf::from(&running.row.wish.dir);
                self.places.remove(&dir);
            }
            Some(_) => {
                running.must_look = true;
                running.is_short = true;
            }
            None => {}
        }
    }

    /// Stores what has been learned of volumes.
    pub(super) fn save_volumes(&mut self) {
        let Some(volumes) = self.roots.news() else { return };
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            match serde_json::to_string(&volumes) {
                Ok(text) => {
                    if let Err(error) = store.set_setting(VOLUMES_SETTING.to_owned(), text).await {
                        warn!(%error, "cannot store which directories lie on volumes");
                    }
                }
                Err(error) => warn!(%error, "a directory on a volume has no name that can be stored"),
            }
            Done::Nothing
        }));
    }

    /// Gives up what a job has written and not made durable: it may be lost although a second sync would succeed
    /// (FAILURES.md, F-DISK-13). It goes on, now or once it is retried, from its last durable rows.
    pub(super) fn give_up_unsynced(&mut self, id: JobId, fault: &Fault) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        running.distrusted = true;
        running.unsynced.clear();
        running.unwritten.clear();
        running.lost = Some(fault.clone());
        self.roll_back(id);
        let running = self.jobs.get_mut(&id).expect("it was just there");
        if matches!(running.then, Some(Then::Seal)) {
            running.then = None;
            self.event(Event::SealFailed(id, fault.clone()));
        }
        self.stop_job_workers(id, fault);
        self.note_disk_fault(id, fault);
    }

    fn roll_back(&mut self, id: JobId) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        running.rolling_back = true;
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move { Done::RolledBack { id, rows: store.roll_back(id).await } }));
    }

    pub(super) fn rolled_back(&mut self, id: JobId, rows: Result<Vec<Chunk>, StoreError>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        running.rolling_back = false;
        match rows {
            Ok(rows) => {
                let durable: u64 = rows.iter().map(|row| row.done).sum();
                info!(job = id.0, durable, "what was not synced is given up");
                running.left = Some(rows);
                self.take_what_is_left(id);
            }
            // Nothing goes on before it is stored; the next look at the disk tries again.
            Err(error) => error!(job = id.0, %error, "cannot store that unsynced bytes are given up"),
        }
        self.go_on_when_synced(id);
    }

    /// Lets the engine go on from the rows that are left, once nobody writes any more.
    pub(super) fn take_what_is_left(&mut self, id: JobId) {
        let has_workers = self.workers.values().any(|worker| worker.job == id);
        let Some(running) = self.jobs.get_mut(&id).filter(|_| !has_workers) else { return };
        let Some(rows) = running.left.take() else { return };
        // What the last workers have reported is part of what is given up.
        self.engine.take_changed_rows(id);
        running.go_on_from(&rows);
        self.event(Event::RolledBack(id, rows));
    }

    /// Tries once more to store what nothing may go on without.
    pub(super) fn retry_roll_back(&mut self, id: JobId) {
        let running = &self.jobs[&id];
        if running.distrusted && !running.rolling_back && running.left.is_none() {
            self.roll_back(id);
        }
    }
}

/// Looks at the disk of a job. Blocks.
fn look(roots: &Roots, needs: Needs) -> Result<Ready, Fault> {
    let place = match needs.place {
        Some(place) => {
            place.check_mounted()?;
            place
        }
        None => Arc::new(roots.open(&needs.dir)?),
    };
    if needs.is_covered {
        return Ok(Ready { place, part: None });
    }
    if needs.is_unseen {
        if let Some(stored) = needs.stored {
            PartFile::reopen(Arc::clone(&place), &stored.name, stored.dev, stored.ino)?;
        }
        return Ok(Ready { place, part: None });
    }
    let opened = match (&needs.part, needs.stored) {
        (None, Some(stored)) => Some(reopen(&place, &stored, needs.position)?),
        (Some(_), _) | (None, None) => None,
    };
    let part = opened.as_ref().or(needs.part.as_deref());
    if let Some(part) = part.filter(|_| needs.position == 0) {
        // What an earlier try has left may be longer than the file will be.
        part.restart()?;
    }
    if let Some(total) = needs.total {
        let keep_free = keep_free(&place)?;
        match part {
            Some(part) => part.reserve(total, keep_free)?,
            None => place.check_space(total, keep_free)?,
        }
    }
    Ok(Ready { place, part: opened })
}

fn reopen(place: &Arc<Place>, stored: &Part, position: u64) -> Result<PartFile, Fault> {
    let part = PartFile::reopen(Arc::clone(place), &stored.name, stored.dev, stored.ino)?;
    let whole = match part {
        Some(part) if part.len()? >= position => Some(part),
        Some(_) | None => None,
    };
    whole.ok_or_else(|| Fault::new(FaultKind::DiskIo, "the part file is gone; `retry` fetches the file again"))
}

/// Makes the part file of a job, with space for all of it. What is `kept` of an earlier version makes room where it has to.
/// Blocks.
pub(super) fn create(
    place: Arc<Place>,
    name: &str,
    tag: u32,
    total: Option<u64>,
    kept: Option<&str>,
) -> Result<PartFile, Fault> {
    // A run that died before it had noted its part file has left one: nobody else knows this job's random tag.
    PartFile::remove_leftover(&place, name, tag)?;
    let part = PartFile::create(place, name, tag)?;
    let mut reserved = reserve(&part, total);
    if let (Err(_), Some(kept)) = (&reserved, kept) {
        PartFile::remove_aside(part.place(), kept)?;
        reserved = reserve(&part, total);
    }
    match reserved {
        Ok(()) => Ok(part),
        Err(fault) => {
            if let Err(error) = part.remove() {
                warn!(name, %error, "a part file without space could not be removed");
            }
            Err(fault)
        }
    }
}

/// Reserves the space for a part file, where that is worth it. Blocks.
pub(super) fn reserve(part: &PartFile, total: Option<u64>) -> Result<(), Fault> {
    match total {
        Some(total) if total >= RESERVE_FROM => part.reserve(total, keep_free(part.place())?),
        Some(_) | None => Ok(()),
    }
}

/// A part file, as its row names it.
pub(super) fn stored_part(part: &PartFile) -> Part {
    Part { name: part.name().to_owned(), dev: part.device(), ino: part.inode() }
}
