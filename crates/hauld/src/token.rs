//! The API token: made at the first start, kept in a file that nobody else can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::Rng as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes of a token: 256 bits cannot be guessed.
const TOKEN_BYTES: usize = 32;

/// A token that a stranger could not guess, but a file could hold by mistake, is at least this long.
const TOKEN_CHARS_MIN: usize = 16;

/// Knows the token without keeping it.
#[derive(Clone)]
pub(crate) struct TokenCheck([u8; 32]);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read or made.
    #[error("cannot use the token file `{}`: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Others can read it.
    #[error("the token file `{}` can be read by others; run `chmod 600 {0}`", path.display())]
    Exposed { path: PathBuf },
    /// It holds no token.
    #[error("the token file `{}` holds no token of at least {TOKEN_CHARS_MIN} characters; delete it to get a new one", path.display())]
    Short { path: PathBuf },
}

impl TokenCheck {
    /// Reads the token file, or makes it.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => {
                let token = random_token();
                write_durably(file, &token).map_err(failed)?;
                Ok(Self::of(&token))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(failed(error)),
        }
    }

    fn load(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned() });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let token = text.trim();
        if token.len() < TOKEN_CHARS_MIN {
            return Err(TokenError::Short { path: path.to_owned() });
        }
        Ok(Self::of(token))
    }

    fn of(token: &str) -> Self {
        Self(digest(token))
    }

    /// Tells whether this is the token, in a time that does not depend on how much of it is right.
    pub(crate) fn matches(&self, token: &str) -> bool {
        Self::of(token).0.ct_eq(&self.0).into()
    }
}

fn write_durably(mut file: File, token: &str) -> io::Result<()> {
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// What is kept of a token.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A token that nobody has.
pub(crate) fn random_token() -> String {
    random_hex(TOKEN_BYTES)
}

/// So many random bytes in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut rng = rand::rng();
    let digits = (0..2 * bytes).map(|_| char::from_digit(rng.next_u32() % 16, 16));
    digits.map(|digit| digit.expect("less than 16")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn f_sec_04_the_first_start_makes_a_token_that_only_the_owner_can_read() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("token");
        let check = TokenCheck::load_or_create(&path).expect("a new token");
        let token = fs::read_to_string(&path).expect("the token file");
        assert_eq!(token.trim().len(), 64);
        assert_eq!(fs::metadata(&path).expect("it exists").mode() & 0o777, 0o600);
        assert!(check.matches(token.trim()));
        assert!(!check.matches(&token.trim()[1..]));
        assert!(!check.matches(""));
        assert!(TokenCheck::load_or_create(&path).expect("the same token").matches(token.trim()));
    }

    #[test]
    fn f_sec_04_a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("token");
        fs::write(&path, "0123456789abcdef0123").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its owner");
        assert!(matches!(TokenCheck::load_or_create(&path), Err(TokenError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner");
        assert!(TokenCheck::load_or_create(&path).is_ok());
        fs::write(&path, "short").expect("a file");
        assert!(matches!(TokenCheck::load_or_create(&path), Err(TokenError::Short { .. })));
    }
}
