//! What is done about a complete file that is not the one that it must be.
//!
//! In this order, each as long as it is left to try: what is known to be wrong is fetched again; then what came from other
//! mirrors than the main one; then all of it, once. Then the job fails. Its file never gets its name meanwhile.

use crate::messages::{Effect, Note, Suspect};
use crate::{ByteRange, Fault, JobId, MirrorIndex, Time};

use super::Engine;
use super::job::Stage;

/// Times that known damage is fetched again before it is the source that is doubted. A guess: a disk or a line that does
/// harm so often does it for ever.
const MENDS_MAX: u32 = 3;

impl Engine {
    pub(super) fn mismatched(&mut self, now: Time, id: JobId, fault: Fault, damaged: &[ByteRange]) {
        let Some(Stage::Sealing { released }) = self.jobs.get(&id).map(|job| job.stage.clone()) else {
            self.late_facts += 1;
            return;
        };
        if let Some((what, bytes)) = self.void_suspect(now, id, &fault, damaged) {
            self.effects.push_back(Effect::Note(id, Note::Healing { what, bytes }));
            self.touched.insert(id);
            if what == Suspect::Everything {
                self.reset(now, id);
            } else {
                self.rewrite(now, id);
            }
            self.release_if(now, id, released);
        } else {
            self.seal_ended(now, id, Some(fault));
        }
    }

    /// Drops the bytes that are the next to be suspected, and tells how many these are.
    fn void_suspect(&mut self, now: Time, id: JobId, fault: &Fault, damaged: &[ByteRange]) -> Option<(Suspect, u64)> {
        let job = self.jobs.get_mut(&id).expect("the caller checked");
        let (main, is_single) = (job.main, job.is_single());
        let ledger = job.ledger.as_mut()?;
        // A single stream cannot begin in the middle.
        if !damaged.is_empty() && job.mends < MENDS_MAX && !is_single {
            job.mends += 1;
            let bytes = damaged.iter().map(|range| ledger.void(*range)).sum();
            if bytes > 0 {
                return Some((Suspect::Damage, bytes));
            }
        }
        let bytes = ledger.void_all_but(main);
        if bytes > 0 {
            let suspects: Vec<MirrorIndex> = self.jobs[&id].mirrors().map(|(index, _)| index).collect();
            for index in suspects.into_iter().filter(|index| *index != main) {
                self.drop_mirror(now, id, index, fault);
            }
            return Some((Suspect::Mirrors, bytes));
        }
        let job = self.jobs.get_mut(&id).expect("it was just there");
        if std::mem::replace(&mut job.fetched_twice, true) {
            return None;
        }
        job.furthest = 0;
        Some((Suspect::Everything, job.done_bytes()))
    }
}
