//! Where the next page of a list begins, as a text: the id, and behind a point what it counted for in the order.

use std::fmt;
use std::str::FromStr;

use haul_core::JobId;

use crate::{Cursor, JobRow, Order, SortBy, SortKey};

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the cursor of a page")]
pub struct ParseCursorError;

impl Cursor {
    /// The place behind this job.
    pub(crate) fn behind(row: &JobRow, by: SortBy) -> Self {
        let number = |number: Option<u64>| number.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        let key = match by {
            SortBy::Id => SortKey::Id,
            SortBy::Priority => SortKey::Number(row.wish.priority.into()),
            SortBy::Filename => {
                SortKey::Text(row.identity.name.clone().or_else(|| row.wish.filename.clone()).unwrap_or_default())
            }
            SortBy::TotalBytes => SortKey::Number(number(row.identity.total_bytes)),
            SortBy::FinishedAt => SortKey::Number(row.finished_at_ms.unwrap_or(-1)),
        };
        Self { id: row.id, key }
    }

    /// Whether it is a place in this order.
    #[must_use]
    pub fn fits(&self, order: Order) -> bool {
        match order.by {
            SortBy::Id => self.key == SortKey::Id,
            SortBy::Filename => matches!(self.key, SortKey::Text(_)),
            SortBy::Priority | SortBy::TotalBytes | SortBy::FinishedAt => matches!(self.key, SortKey::Number(_)),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            SortKey::Id => write!(f, "{}", self.id.0),
            SortKey::Number(number) => write!(f, "{}.n{number}", self.id.0),
            SortKey::Text(text) => write!(f, "{}.t{text}", self.id.0),
        }
    }
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (id, key) = match text.split_once('.') {
            None => (text, SortKey::Id),
            Some((id, key)) => match key.split_at_checked(1) {
                Some(("n", number)) => (id, SortKey::Number(number.parse().map_err(|_| ParseCursorError)?)),
                Some(("t", name)) => (id, SortKey::Text(name.to_owned())),
                Some(_) | None => return Err(ParseCursorError),
            },
        };
        let id: u64 = id.parse().map_err(|_| ParseCursorError)?;
        // SQLite's integers end there, and so do ids.
        if i64::try_from(id).is_err() {
            return Err(ParseCursorError);
        }
        Ok(Self { id: JobId(id), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_a_round_trip() {
        for key in [SortKey::Id, SortKey::Number(-1), SortKey::Text(String::new()), SortKey::Text("a.b t\u{e9}".into())]
        {
            let cursor = Cursor { id: JobId(17), key };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "a", "-1", "17.", "17.x5", "17.n", "17.n1e3", "9223372036854775808", "17.\u{e9}"] {
            assert_eq!(text.parse::<Cursor>(), Err(ParseCursorError), "{text}");
        }
    }
}
