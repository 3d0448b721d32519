//! URLs with patterns (`--expand`), as curl has them: `{one,two}` are alternatives, `[1-20]`, `[01-20]`, `[a-f]` and
//! `[0-100:10]` are numbers, numbers of one width, letters, and steps.
//!
//! Not read unless it is asked for: real URLs hold brackets and braces, too.

use std::net::Ipv6Addr;

/// One part of a pattern.
enum Part<'a> {
    Text(&'a str),
    Choice(Vec<String>),
}

/// All URLs that a pattern stands for, those of the last part changing first.
///
/// # Errors
///
/// Says which part is wrong. It repeats nothing but that part's brackets and numbers.
pub(crate) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let parts = parts(pattern)?;
    let count = parts.iter().try_fold(1_usize, |count, part| match part {
        Part::Text(_) => Some(count),
        Part::Choice(choices) => count.checked_mul(choices.len()).filter(|count| *count <= URLS_MAX),
    });
    let count = count.ok_or_else(|| format!("the pattern stands for more than {URLS_MAX} URLs"))?;
    let mut urls = vec![String::with_capacity(pattern.len()); count];
    let mut each = count;
    for part in &parts {
        match part {
            Part::Text(text) => urls.iter_mut().for_each(|url| url.push_str(text)),
            Part::Choice(choices) => {
                each /= choices.len();
                for (index, url) in urls.iter_mut().enumerate() {
                    url.push_str(&choices[index / each % choices.len()]);
                }
            }
        }
    }
    Ok(urls)
}

/// Whether a URL holds what would be a pattern.
pub(crate) fn is_pattern(url: &str) -> bool {
    expand(url).is_ok_and(|urls| urls.len() > 1)
}

fn parts(pattern: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['[', ']', '{', '}']) {
        let (text, from) = rest.split_at(at);
        let close = match from.as_bytes()[0] {
            b'[' => ']',
            b'{' => '}',
            other => return Err(format!("there is a `{}` without its beginning", char::from(other))),
        };
        let end = from.find(close).ok_or_else(|| format!("there is no `{close}` for a `{}`", &from[..1]))?;
        let (inside, after) = (&from[1..end], &from[end + 1..]);
        // An address, not a range: `http://[::1]/`.
        if close == ']' && inside.parse::<Ipv6Addr>().is_ok() {
            parts.push(Part::Text(&rest[..at + end + 1]));
        } else {
            parts.push(Part::Text(text));
            parts.push(Part::Choice(if close == ']' { range(inside)? } else { alternatives(inside)? }));
        }
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn alternatives(inside: &str) -> Result<Vec<String>, String> {
    if inside.contains(['{', '[']) {
        return Err("a pattern stands within another one".to_owned());
    }
    Ok(inside.split(',').map(str::to_owned).collect())
}

fn range(inside: &str) -> Result<Vec<String>, String> {
    let wrong = || "brackets hold a range such as `[1-20]`, `[01-20]`, `[a-f]` or `[0-100:10]`".to_owned();
    let (bounds, step) = inside.split_once(':').unwrap_or((inside, "1"));
    let (from, to) = bounds.split_once('-').ok_or_else(wrong)?;
    let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?;
    if let ([from], [to]) = (from.as_bytes(), to.as_bytes())
        && from.is_ascii_alphabetic()
        && to.is_ascii_alphabetic()
    {
        let letters: Vec<_> = (*from..=*to).step_by(step).map(|letter| char::from(letter).to_string()).collect();
        return if letters.is_empty() { Err(backwards()) } else { Ok(letters) };
    }
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (first, last) = (number(from).ok_or_else(wrong)?, number(to).ok_or_else(wrong)?);
    if first > last {
        return Err(backwards());
    }
    // As many digits as the first number has with its zeros.
    let width = if from.starts_with('0') { from.len() } else { 1 };
    // One more than may be, so that the count tells.
    Ok((first..=last).step_by(step).take(URLS_MAX + 1).map(|number| format!("{number:0width$}")).collect())
}

fn backwards() -> String {
    "a range goes backwards; write the smaller end first".to_owned()
}

/// URLs that one pattern may stand for. A guess: more than anybody means, and few enough for one request each.
const URLS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_urls() {
        for (pattern, expected) in [
            ("http://a/b", &["http://a/b"][..]),
            ("http://a/[1-3].iso", &["http://a/1.iso", "http://a/2.iso", "http://a/3.iso"]),
            ("http://a/[08-10]", &["http://a/08", "http://a/09", "http://a/10"]),
            ("http://a/[0-10:5]", &["http://a/0", "http://a/5", "http://a/10"]),
            ("http://a/[x-z]", &["http://a/x", "http://a/y", "http://a/z"]),
            ("http://{a,b.c}/{,1}", &["http://a/", "http://a/1", "http://b.c/", "http://b.c/1"]),
            ("http://[::1]:8/[1-2]", &["http://[::1]:8/1", "http://[::1]:8/2"]),
            ("http://[a-b].c/", &["http://a.c/", "http://b.c/"]),
            ("http://a/{x}?y=[7-7]", &["http://a/x?y=7"]),
        ] {
            assert_eq!(expand(pattern).expect(pattern), expected, "{pattern}");
            assert_eq!(is_pattern(pattern), expected.len() > 1, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (pattern, part) in [
            ("http://a/[1-2", "no `]`"),
            ("http://a/{x", "no `}`"),
            ("http://a/x]", "`]` without"),
            ("http://a/[x]", "`[1-20]`"),
            ("http://a/[1-x]", "`[1-20]`"),
            ("http://a/[1-2:0]", "`[1-20]`"),
            ("http://a/[-1-2]", "`[1-20]`"),
            ("http://a/[1-+2]", "`[1-20]`"),
            ("http://a/[2-1]", "backwards"),
            ("http://a/[z-a]", "backwards"),
            ("http://a/{a,[1-2]}", "within another"),
            ("http://a/[1-10001]", "more than 10000"),
            ("http://a/[0-18446744073709551615]", "more than 10000"),
            ("http://a/[1-200]/[1-200]", "more than 10000"),
        ] {
            let error = expand(pattern).expect_err(pattern);
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
