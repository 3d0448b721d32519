//! Reads request bodies so that a refusal names the field, and never repeats a value.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::problem::{Problem, ProblemCode};

/// Reads a body of one type.
///
/// # Errors
///
/// `malformed-json`, `unknown-field` or `invalid-value`, the latter two with the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    from_value(json(bytes)?)
}

/// Reads bytes as JSON of any shape.
///
/// # Errors
///
/// `malformed-json`, with the place.
pub fn json(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        let detail = "the body is empty, a JSON object is needed";
        return Err(Problem::new(ProblemCode::MalformedJson, detail));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::new(ProblemCode::MalformedJson, error.to_string()))
}

/// Reads one type from JSON that has been parsed already, such as an item of a batch.
///
/// # Errors
///
/// `unknown-field` or `invalid-value`, with the field.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, Problem> {
    // Serde would take an array for a struct, field by field.
    if !value.is_object() {
        let detail = "the body must be a JSON object";
        return Err(Problem::new(ProblemCode::InvalidValue, detail));
    }
    whole_numbers(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| refuse(&error))
}

/// Reads a field that was sent, so that `null` is not taken for an absent one.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The refusal of one unknown field or query parameter.
pub(crate) fn unknown_field(name: &str, known: &str) -> Problem {
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    let detail = format!("no field is called `{name}`; known are {known}");
    Problem::new(ProblemCode::UnknownField, detail).with_field(name)
}

/// The refusal of one value, which is not repeated: it may be a secret in the wrong place.
pub(crate) fn invalid_value(field: &str, expected: &str) -> Problem {
    let detail = format!("`{field}` must be {expected}");
    Problem::new(ProblemCode::InvalidValue, detail).with_field(field)
}

/// Turns `29.0` into `29`: JSON Schema calls both an integer, serde does not.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole_number(number) {
                *number = whole;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn whole_number(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    if float.fract() != 0.0 || float.abs() > WHOLE_FLOAT_MAX {
        return None;
    }
    format!("{float:.0}").parse::<i64>().ok().map(Number::from)
}

fn refuse(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let text = error.inner().to_string();
    let path = error.path().to_string();
    if let Some(rest) = text.strip_prefix("unknown field `") {
        // The name is foreign text and may hold anything, the list after it is ours. The path ends with the name.
        let known = rest.rsplit_once("`, expected ").map_or("in the documentation", |(_, known)| known);
        return unknown_field(&path, known.trim_start_matches("one of "));
    }
    if let Some(name) = text.strip_prefix("missing field `") {
        let name = within(&path, name.trim_end_matches('`'));
        let detail = format!("`{name}` is missing");
        return Problem::new(ProblemCode::InvalidValue, detail).with_field(name);
    }
    let expected = text.rsplit_once(", expected ").map_or("a value of another kind", |(_, expected)| expected);
    let path: String = path.chars().take(NAME_CHARS_MAX).collect();
    invalid_value(&path, plain_words(expected))
}

/// A member's name with the place of the object that should have it.
fn within(path: &str, name: &str) -> String {
    if path == "." { name.to_owned() } else { format!("{path}.{name}") }
}

/// Serde's name of a type in words for people who write JSON.
fn plain_words(expected: &str) -> &str {
    match expected {
        "u64" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "a map" => "an object",
        "a sequence" => "an array",
        other => other,
    }
}

/// How much of a foreign name an answer repeats. A guess: our longest field name has 20.
const NAME_CHARS_MAX: usize = 64;

/// 2^53: from there on a float no longer tells neighbouring whole numbers apart.
const WHOLE_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::PatchJob;

    fn refusal(value: Value) -> Problem {
        from_value::<PatchJob>(value).expect_err("the body is wrong")
    }

    #[test]
    fn an_unknown_field_is_named_with_those_that_are_known() {
        let problem = refusal(json!({"prio": 1}));
        assert_eq!(problem.code, "unknown-field");
        assert_eq!(problem.field.as_deref(), Some("prio"));
        assert_eq!(
            problem.detail,
            "no field is called `prio`; known are \
             `url`, `filename`, `headers`, `on_change`, `priority`, `connections`, `bandwidth_limit`, `position`, `label`"
        );
    }

    #[test]
    fn a_hostile_field_name_is_cut() {
        let name = format!("`, expected one of {}", "x".repeat(1000));
        let problem = refusal(json!({ &name: 1 }));
        assert_eq!(problem.code, "unknown-field");
        let field = problem.field.expect("the field is named");
        assert!(name.starts_with(&field), "{field}");
        assert_eq!(field.len(), NAME_CHARS_MAX);
    }

    #[test]
    fn a_wrong_type_names_field_and_need_but_not_the_value() {
        let problem = refusal(json!({"connections": "s3cret, expected nothing"}));
        assert_eq!(problem.code, "invalid-value");
        assert_eq!(problem.field.as_deref(), Some("connections"));
        assert_eq!(problem.detail, "`connections` must be a whole number from 0 to 4294967295");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (field, number) in [
            ("connections", json!(-1)),
            ("connections", json!(4_294_967_296_u64)),
            ("bandwidth_limit", json!(-1)),
            ("bandwidth_limit", json!(1e300)),
            ("priority", json!(1.5)),
        ] {
            let problem = refusal(json!({ field: number }));
            assert_eq!(problem.code, "invalid-value");
            assert_eq!(problem.field.as_deref(), Some(field));
            assert!(problem.detail.contains("a whole number"), "{problem}");
        }
    }

    #[test]
    fn a_whole_float_is_an_integer() {
        let patch: PatchJob = from_value(json!({"connections": 29.0, "priority": -0.0})).expect("both are whole");
        assert_eq!(patch.connections, Some(29));
        assert_eq!(patch.priority, Some(0));
    }

    #[test]
    fn broken_json_tells_the_place() {
        let problem = parse::<PatchJob>(b"{\"priority\": 1,,}").expect_err("two commas");
        assert_eq!(problem.code, "malformed-json");
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("line 1 column 16"), "{problem}");
        for bytes in [&b""[..], b"{", b"\xff", b"nul"] {
            let problem = parse::<PatchJob>(bytes).expect_err("not JSON");
            assert_eq!(problem.code, "malformed-json");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let body = "[".repeat(100_000);
        let problem = json(body.as_bytes()).expect_err("too deep");
        assert_eq!(problem.code, "malformed-json");
    }

    #[test]
    fn only_objects_are_bodies() {
        for value in [json!([1, 2]), json!(null), json!("x"), json!(7)] {
            let problem = refusal(value);
            assert_eq!(problem.code, "invalid-value");
            assert_eq!(problem.detail, "the body must be a JSON object");
        }
    }
}
