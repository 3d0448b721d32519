//! What jobs are called: 16 hexadecimal digits. Where no client has chosen them they follow from the job's id, and it from
//! them, so that nothing has to be stored.

use std::collections::BTreeMap;
use std::fmt;

use haul_core::JobId;
use haul_store::{JobRow, Store, StoreError};

use super::fault::Fault;
use crate::access::Caller;

/// Digits of a gid.
const DIGITS: usize = 16;

/// Odd, so that multiplying by it goes through all numbers; 2^64 divided by the golden ratio, so that neighbours differ from
/// the first digit on.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Undoes it.
const INVERSE: u64 = inverse(FACTOR);

/// Jobs that a daemon may ever have: what follows from their ids cannot be chosen. A guess that nobody lives to see proved
/// wrong; one choice in 16 million is refused for it.
const JOBS_EVER: u64 = 1 << 40;

/// By Newton's method: each step doubles the bits that are right, of which an odd number has three.
const fn inverse(odd: u64) -> u64 {
    let mut found = odd;
    let mut step = 0;
    while step < 5 {
        found = found.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(found)));
        step += 1;
    }
    found
}

/// What a job is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gid(u64);

impl Gid {
    /// What follows from a job's id.
    pub(super) const fn of(id: JobId) -> Self {
        Self(id.0.wrapping_mul(FACTOR))
    }

    /// The job whose id it follows from, whether there is one or not.
    const fn job(self) -> JobId {
        JobId(self.0.wrapping_mul(INVERSE))
    }

    /// What a client may choose.
    pub(super) fn chosen(text: &str) -> Result<Self, Fault> {
        let invalid = || Fault::new(format!("Invalid GID {}", brief(text)));
        if text.len() != DIGITS {
            return Err(invalid());
        }
        let gid = Self(digits(text).ok_or_else(invalid)?);
        match gid.job().0 {
            0 => Err(invalid()),
            1..JOBS_EVER => Err(not_unique(text)),
            JOBS_EVER.. => Ok(gid),
        }
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A choice that another job has already.
pub(super) fn not_unique(text: &str) -> Fault {
    Fault::new(format!("GID {} is not unique", brief(text)))
}

fn digits(text: &str) -> Option<u64> {
    // `from_str_radix` takes a sign, too.
    let is_hex = !text.is_empty() && text.len() <= DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

/// What a client has sent, in a message.
fn brief(text: &str) -> String {
    text.chars().take(2 * DIGITS).collect()
}

/// What each of these jobs is called.
pub(super) async fn names(store: &Store, ids: Vec<JobId>) -> Result<BTreeMap<JobId, String>, StoreError> {
    let mut names: BTreeMap<_, _> = ids.iter().map(|id| (*id, Gid::of(*id).to_string())).collect();
    names.extend(store.gids_of(ids).await?);
    Ok(names)
}

/// The job that a client means by a gid, or by enough of its first digits, and what it is called in full.
pub(super) async fn find(store: &Store, text: &str) -> Result<(String, JobRow), Fault> {
    if digits(text).is_none() {
        return Err(Fault::new(format!("Invalid GID {}", brief(text))));
    }
    let wanted = text.to_ascii_lowercase();
    let found = match Gid(digits(&wanted).unwrap_or_default()) {
        gid if wanted.len() == DIGITS => whole(store, gid).await?,
        _ => beginning(store, &wanted).await?,
    };
    let unknown = || Fault::new(format!("GID {} is not found", brief(text)));
    let (name, id) = match found.as_slice() {
        [] => return Err(unknown()),
        [one] => one.clone(),
        [_, _, ..] => return Err(not_unique(text)),
    };
    let row = store.job(id).await?.filter(|row| Caller::current().sees(row)).ok_or_else(unknown)?;
    Ok((name, row))
}

async fn whole(store: &Store, gid: Gid) -> Result<Vec<(String, JobId)>, StoreError> {
    let name = gid.to_string();
    if let Some(id) = store.job_of_gid(name.clone()).await? {
        return Ok(vec![(name, id)]);
    }
    let id = gid.job();
    // One that has a chosen name is not called otherwise.
    let is_called_otherwise = !store.gids_of(vec![id]).await?.is_empty();
    Ok(if is_called_otherwise { Vec::new() } else { vec![(name, id)] })
}

async fn beginning(store: &Store, prefix: &str) -> Result<Vec<(String, JobId)>, StoreError> {
    let chosen = store.gids_beginning(prefix.to_owned()).await?;
    let mut found: Vec<_> = chosen.into_iter().map(|(id, name)| (name, id)).collect();
    let following = store.job_ids().await?.into_iter().map(|id| (Gid::of(id).to_string(), id));
    let mut following: Vec<_> = following.filter(|(name, _)| name.starts_with(prefix)).collect();
    let called_otherwise = store.gids_of(following.iter().map(|(_, id)| *id).collect()).await?;
    following.retain(|(_, id)| !called_otherwise.contains_key(id));
    found.extend(following);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gid_follows_from_an_id_and_leads_back_to_it() {
        for id in [1, 2, 3, 17, 100_000, u64::from(u32::MAX), JOBS_EVER - 1, i64::MAX as u64] {
            let gid = Gid::of(JobId(id));
            assert_eq!(gid.job(), JobId(id));
            assert_eq!(digits(&gid.to_string()), Some(gid.0));
            assert_eq!(gid.to_string().len(), DIGITS);
        }
        // It is stored nowhere, so it has to stay as it is.
        assert_eq!(Gid::of(JobId(1)).to_string(), "9e3779b97f4a7c15");
    }

    #[test]
    fn neighbours_differ_early() {
        let names: std::collections::BTreeSet<_> =
            (1..1000).map(|id| Gid::of(JobId(id)).to_string()[..4].to_owned()).collect();
        assert!(names.len() > 950, "{}", names.len());
    }

    #[test]
    fn what_an_id_may_still_need_cannot_be_chosen() {
        assert_eq!(Gid::chosen("00000000DEADBEEF").expect("it is free").to_string(), "00000000deadbeef");
        for id in [1, 2, 1_000_000] {
            let text = Gid::of(JobId(id)).to_string();
            assert_eq!(Gid::chosen(&text), Err(not_unique(&text)));
        }
        for wrong in ["", "0", "0000000000000000", "+00000000deadbee", "00000000deadbee", "00000000deadbeef0", "zz"] {
            assert_eq!(Gid::chosen(wrong), Err(Fault::new(format!("Invalid GID {wrong}"))), "{wrong}");
        }
    }
}
