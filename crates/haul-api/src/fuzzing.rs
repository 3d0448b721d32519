//! What must hold whatever bytes a client sends: one function for each target of `crates/fuzz`.
//!
//! No part of the interface. The fuzzer calls these functions with bytes of its own, the tests below with the files of
//! `crates/fuzz/corpus`. A function panics when a promise is broken.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::query::{LIMIT_MAX, WAIT_SECONDS_MAX};
use crate::{
    DeleteQuery, HostQuery, HumanDuration, JobQuery, Limits, PatchHost, PatchJob, Problem, ProblemCode, Rate, Size,
    SubmitBody, TimeOfDay, WaitQuery, body,
};

/// Sizes, rates, durations and times of the day as people write them, and query strings: what is read is within its
/// bounds and prints as something that reads back.
pub fn word(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(Size(size)) = printed_back(text) {
        assert!(Size(size).approx().len() <= Size(u64::MAX).approx().len());
    }
    printed_back::<Rate>(text);
    if let Some(duration) = printed_back::<HumanDuration>(text) {
        assert!(!duration.approx().is_empty());
    }
    if let Some(time) = printed_back::<TimeOfDay>(text) {
        assert!(time.minutes() <= 24 * 60 && time.to_string() == text);
    }
    query(text);
}

fn query(text: &str) {
    if let Some(query) = accepted(JobQuery::parse(text)) {
        assert!(query.limit.is_none_or(|limit| (1..=LIMIT_MAX).contains(&limit)));
        assert_eq!(JobQuery::parse(&query.to_query()), Ok(query));
    }
    if let Some(query) = accepted(HostQuery::parse(text)) {
        assert!(query.limit.is_none_or(|limit| (1..=LIMIT_MAX).contains(&limit)));
        assert_eq!(HostQuery::parse(&query.to_query()), Ok(query));
    }
    if let Some(query) = accepted(WaitQuery::parse(text)) {
        assert!(query.wait_seconds.is_none_or(|seconds| seconds <= WAIT_SECONDS_MAX));
        assert_eq!(WaitQuery::parse(&query.to_query()), Ok(query));
    }
    if let Some(query) = accepted(DeleteQuery::parse(text)) {
        assert_eq!(DeleteQuery::parse(&query.to_query()), Ok(query));
    }
}

/// JSON bodies: refused with the field to blame, or the same once they are written and read again.
pub fn body(bytes: &[u8]) {
    match accepted(SubmitBody::parse(bytes)) {
        Some(SubmitBody::One(job)) => {
            assert!(job.urls().next().is_some());
            let wire = serde_json::to_vec(&job).expect("plain data");
            assert_eq!(SubmitBody::parse(&wire), Ok(SubmitBody::One(job)));
        }
        Some(SubmitBody::Many(items)) => {
            assert!(items.len() <= bytes.len());
            items.into_iter().filter_map(accepted).for_each(|job| assert!(job.urls().next().is_some()));
        }
        None => {}
    }
    written_again::<PatchJob>(bytes);
    written_again::<PatchHost>(bytes);
    if let Some(limits) = written_again::<Limits>(bytes) {
        let windows = limits.bandwidth_schedule.into_iter().flatten();
        for window in windows {
            assert!(
                !window.days.is_empty() && window.days.is_sorted() && i64::try_from(window.bandwidth_limit).is_ok()
            );
        }
    }
}

fn printed_back<T: FromStr<Err: Display> + Display + Debug + PartialEq + Copy>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string().parse().ok(), Some(value), "{value}");
            Some(value)
        }
        Err(error) => {
            assert!(error.to_string().len() <= DETAIL_BYTES_MAX, "{error}");
            None
        }
    }
}

fn written_again<T: DeserializeOwned + Serialize + Debug + PartialEq>(bytes: &[u8]) -> Option<T> {
    let value: T = accepted(body::parse(bytes))?;
    let wire = serde_json::to_vec(&value).expect("plain data");
    assert_eq!(body::parse::<T>(&wire).as_ref(), Ok(&value));
    Some(value)
}

/// A refusal is the client's fault, names the field where there is one, and ends.
fn accepted<T>(read: Result<T, Problem>) -> Option<T> {
    let problem = match read {
        Ok(value) => return Some(value),
        Err(problem) => problem,
    };
    assert!(matches!(problem.status, 400 | 422), "{problem}");
    let has_field = problem.field.as_ref().is_some_and(|field| field.chars().count() <= FIELD_CHARS_MAX);
    if problem.known_code() == Some(ProblemCode::MalformedJson) {
        assert!(problem.field.is_none(), "{problem:?}");
    } else {
        let codes = [ProblemCode::UnknownField, ProblemCode::InvalidValue];
        assert!(problem.known_code().is_some_and(|code| codes.contains(&code)), "{problem:?}");
        assert!(has_field || problem.detail == "the body must be a JSON object", "{problem:?}");
    }
    assert!(problem.detail.len() <= DETAIL_BYTES_MAX, "{problem}");
    None
}

/// Bytes of a refusal's text; the longest of ours lists all fields of a job.
const DETAIL_BYTES_MAX: usize = 1024;

/// Characters of a field's name, with its place in the body.
const FIELD_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use haul_testkit::replay;

    #[test]
    fn the_corpus_of_words_holds() {
        replay("word", super::word);
    }

    #[test]
    fn f_api_02_10_the_corpus_of_bodies_holds() {
        replay("body", super::body);
    }
}
