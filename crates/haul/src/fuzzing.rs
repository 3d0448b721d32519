//! What must hold whatever pattern somebody types: the target `pattern` of `crates/fuzz`, which has these functions by their
//! file.

use crate::expand::{expand, is_pattern};

/// A pattern of URLs: no more of them than may be, and none longer than the pattern; or an error that fits on a line.
pub(crate) fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match expand(text) {
        Ok(urls) => {
            assert!((1..=10_000).contains(&urls.len()));
            assert!(urls.iter().all(|url| url.len() <= text.len()));
            assert_eq!(is_pattern(text), urls.len() > 1);
            if !text.contains(['[', '{']) {
                assert_eq!(urls, [text]);
            }
        }
        Err(error) => {
            assert!(!is_pattern(text) && text.contains(['[', ']', '{', '}']), "{error}");
            assert!(error.len() <= 200 && !error.contains(char::is_control), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use haul_testkit::replay;

    #[test]
    fn the_corpus_of_patterns_holds() {
        replay("pattern", super::pattern);
    }
}
