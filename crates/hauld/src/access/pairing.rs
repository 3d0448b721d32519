//! A code that can be traded for a token: once, for two minutes, and not by guessing.

use std::time::{Duration, Instant};

use haul_store::Scope;
use rand::RngExt as _;
use subtle::ConstantTimeEq;

use crate::token::digest;

/// How long a code can be traded (DESIGN.md section 6).
pub(crate) const CODE_LIVES: Duration = Duration::from_secs(120);

/// Attempts within [`ATTEMPTS_WITHIN`]. A guess: a person who pastes needs one.
const ATTEMPTS_MAX: usize = 10;

const ATTEMPTS_WITHIN: Duration = Duration::from_secs(60);

/// Crockford's digits: none looks like another. 16 of them are 80 bits.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_DIGITS: usize = 16;

/// Why a code was not traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTraded {
    /// It is wrong, used up, or too old.
    Wrong,
    /// There were too many attempts lately.
    TooMany,
}

/// A code that was made.
#[derive(Clone, Copy, Debug)]
struct Code {
    hash: [u8; 32],
    made: Instant,
    /// Of the token that it is traded for.
    scope: Scope,
}

/// The code that is valid, and the attempts of late.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    code: Option<Code>,
    attempts: Vec<Instant>,
}

impl Pairing {
    /// Makes a code for a token of this scope, in place of the one before, in groups of four.
    pub(super) fn make(&mut self, scope: Scope, now: Instant) -> String {
        let mut rng = rand::rng();
        let code: Vec<u8> = (0..CODE_DIGITS).map(|_| DIGITS[rng.random_range(0..DIGITS.len())]).collect();
        self.code = Some(Code { hash: digest(&String::from_utf8_lossy(&code)), made: now, scope });
        let groups: Vec<_> = code.chunks(4).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }

    /// The digest of the code, as long as that can be traded.
    pub(super) fn hash(&self, now: Instant) -> Option<[u8; 32]> {
        self.code.filter(|code| now.duration_since(code.made) < CODE_LIVES).map(|code| code.hash)
    }

    /// Uses the code up, and tells the scope that it was made for.
    pub(super) fn take(&mut self, code: &str, now: Instant) -> Result<Scope, NotTraded> {
        self.attempts.retain(|attempt| now.duration_since(*attempt) < ATTEMPTS_WITHIN);
        if self.attempts.len() >= ATTEMPTS_MAX {
            return Err(NotTraded::TooMany);
        }
        self.attempts.push(now);
        let Code { hash, made, scope } = self.code.ok_or(NotTraded::Wrong)?;
        let is_right: bool = digest(&plain(code)).ct_eq(&hash).into();
        if !is_right || now.duration_since(made) >= CODE_LIVES {
            return Err(NotTraded::Wrong);
        }
        self.code = None;
        Ok(scope)
    }
}

/// A code as it was made, however it was typed.
fn plain(code: &str) -> String {
    let typed = code.chars().filter(|c| !c.is_whitespace() && *c != '-').take(CODE_DIGITS + 1);
    let digit = |c: char| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    typed.map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_traded_once_however_it_is_typed() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        assert_eq!(pairing.take("", now), Err(NotTraded::Wrong), "there is none");
        let code = pairing.make(Scope::Submit, now);
        assert_eq!((code.len(), code.matches('-').count()), (19, 3));
        let typed = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert_eq!(pairing.take(&typed, now), Ok(Scope::Submit));
        assert_eq!(pairing.take(&code, now), Err(NotTraded::Wrong));
    }

    #[test]
    fn a_code_ends_with_its_time_and_with_the_next_one() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        let (first, second) = (pairing.make(Scope::Submit, now), pairing.make(Scope::Admin, now));
        assert_eq!(pairing.take(&first, now), Err(NotTraded::Wrong));
        assert_eq!(pairing.hash(now), Some(digest(&second.replace('-', ""))));
        assert_eq!(pairing.hash(now + CODE_LIVES), None);
        assert_eq!(pairing.take(&second, now + CODE_LIVES), Err(NotTraded::Wrong));
        assert_eq!(pairing.take(&second, now + CODE_LIVES / 2), Ok(Scope::Admin));
    }

    #[test]
    fn f_sec_25_codes_cannot_be_guessed_fast() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        let code = pairing.make(Scope::Submit, now);
        for _ in 0..ATTEMPTS_MAX {
            assert_eq!(pairing.take("0000-0000-0000-0000", now), Err(NotTraded::Wrong));
        }
        assert_eq!(pairing.take(&code, now), Err(NotTraded::TooMany));
        assert_eq!(pairing.take(&code, now + ATTEMPTS_WITHIN), Ok(Scope::Submit));
    }
}
