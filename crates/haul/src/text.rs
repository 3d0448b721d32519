//! Text for people: foreign text made harmless, URLs without secrets, durations and percentages.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use haul_api::HumanDuration;
use url::Url;

/// Escapes what would move the cursor, change colours or reorder the line: control characters (C0, C1, DEL), line
/// separators and bidirectional or invisible formatting. A server names files and words its errors.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) {
            write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a String takes everything");
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// A URL as far as it may be shown: userinfo, query and fragment hold passwords and signatures.
pub(crate) fn shown_url(text: &str) -> String {
    let Ok(url) = Url::parse(text) else {
        return "(not a URL)".to_owned();
    };
    let Some(host) = url.host_str() else {
        return format!("{}:...", url.scheme());
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = if url.query().is_some() { "?..." } else { "" };
    escaped(&format!("{}://{host}{port}{}{query}", url.scheme(), url.path())).into_owned()
}

/// How long something took: `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`.
pub(crate) fn took(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        left(duration.as_secs())
    }
}

/// How long something will take, in whole seconds: `41 s`, `4 min 05 s`, `2 h 07 min`, `3 d 4 h`.
pub(crate) fn left(seconds: u64) -> String {
    HumanDuration(Duration::from_secs(seconds)).approx()
}

/// Whole per cent, rounded down: 100 means that all of it is there.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    if total == 0 {
        return 100;
    }
    u64::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).expect("at most 100")
}

/// A number with its noun: `1 job`, `2 jobs`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        for (text, safe) in [
            ("a.iso", "a.iso"),
            ("Größe 文件 🎉", "Größe 文件 🎉"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\r\tc\0\x7f", "a\\u{a}b\\u{d}\\u{9}c\\u{0}\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("fdp.\u{202e}exe", "fdp.\\u{202e}exe"),
            ("a\u{2066}b\u{200b}c\u{2028}", "a\\u{2066}b\\u{200b}c\\u{2028}"),
        ] {
            assert_eq!(escaped(text), safe);
        }
    }

    #[test]
    fn a_shown_url_holds_no_secret() {
        for (url, shown) in [
            ("https://example.org/a.iso", "https://example.org/a.iso"),
            ("https://me:s3cret@example.org:8443/a?sig=s3cret#s3cret", "https://example.org:8443/a?..."),
            ("me:s3cret@example.org", "me:..."),
            ("s3cret", "(not a URL)"),
            ("data:s3cret", "data:..."),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (millis, text) in [
            (0, "0.00 s"),
            (420, "0.42 s"),
            (9_999, "10.0 s"),
            (12_345, "12.3 s"),
            (59_999, "59 s"),
            (245_000, "4 min 05 s"),
            (7_620_000, "2 h 07 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(took(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_hundred_per_cent_means_everything() {
        for (done, total, shown) in [(0, 10, 0), (999, 1000, 99), (10, 10, 100), (0, 0, 100), (11, 10, 100)] {
            assert_eq!(percent(done, total), shown);
        }
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
