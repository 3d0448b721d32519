//! Messages: one call or a batch of them, and their answers.

use serde_json::{Map, Value, json};

use super::call::CALLS_MAX;
use super::fault::Fault;

/// One call, as far as it can be read without knowing its method.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Its answer has the same, whatever it is.
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Vec<Value>,
}

/// A call that is none, and the id that its answer has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unread {
    pub(super) id: Value,
    pub(super) fault: Fault,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    One(Result<Call, Unread>),
    /// It is answered by a list, too.
    Many(Vec<Result<Call, Unread>>),
}

impl Message {
    /// Reads what was sent. How deep values may lie in one another is serde_json's to say: 128.
    pub(super) fn read(bytes: &[u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(Value::Array(calls)) if calls.len() > CALLS_MAX => {
                let fault = Fault::too_much(&format!("{CALLS_MAX} calls"));
                Self::One(Err(Unread { id: Value::Null, fault }))
            }
            Ok(Value::Array(calls)) => Self::Many(calls.into_iter().map(call).collect()),
            Ok(value) => Self::One(call(value)),
            Err(_) => Self::One(Err(Unread { id: Value::Null, fault: Fault::parse_error() })),
        }
    }
}

/// Reads a call. The member `jsonrpc` is of no interest: clients send `2.0`, `2`, and nothing.
fn call(value: Value) -> Result<Call, Unread> {
    let invalid = |id: Value| Unread { id, fault: Fault::invalid_request() };
    let Value::Object(mut call) = value else { return Err(invalid(Value::Null)) };
    let Some(id) = call.remove("id") else { return Err(invalid(Value::Null)) };
    let Some(Value::String(method)) = call.remove("method") else { return Err(invalid(id)) };
    match call.remove("params") {
        None => Ok(Call { id, method, params: Vec::new() }),
        Some(Value::Array(params)) => Ok(Call { id, method, params }),
        Some(_) => Err(Unread { id, fault: Fault::invalid_params() }),
    }
}

/// The answer to a call.
pub(super) fn answer(id: Value, result: Result<Value, Fault>) -> Value {
    let mut answer = Map::new();
    answer.insert("id".to_owned(), id);
    answer.insert("jsonrpc".to_owned(), json!("2.0"));
    match result {
        Ok(value) => answer.insert("result".to_owned(), value),
        Err(fault) => answer.insert("error".to_owned(), fault.body()),
    };
    Value::Object(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Message {
        Message::read(text.as_bytes())
    }

    #[test]
    fn a_call_is_read_in_all_the_forms_that_clients_send() {
        for id in ["0", "-1", "7", "\"MTIz=\"", "null", "1.5", "[1]", "true"] {
            for version in ["\"jsonrpc\": \"2.0\",", "\"jsonrpc\": 2,", "\"json-rpc\": \"2.0\",", ""] {
                let text = format!("{{{version} \"id\": {id}, \"method\": \"m\"}}");
                let id = serde_json::from_str(id).expect("JSON");
                assert_eq!(
                    read(&text),
                    Message::One(Ok(Call { id, method: "m".to_owned(), params: vec![] })),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_call_is_refused_as_aria2_does() {
        let one = |id: Value, fault| Message::One(Err(Unread { id, fault }));
        for text in ["", "{", "{\"id\": 1", "nothing", "\u{0}", &"[".repeat(100_000), &"{\"a\":".repeat(200)] {
            assert_eq!(read(text), one(Value::Null, Fault::parse_error()), "{}", &text[..text.len().min(20)]);
        }
        for text in ["1", "null", "\"a\"", "{}", r#"{"method": "m"}"#] {
            assert_eq!(read(text), one(Value::Null, Fault::invalid_request()), "{text}");
        }
        assert_eq!(read(r#"{"id": 7, "method": 7}"#), one(json!(7), Fault::invalid_request()));
        for params in ["{}", "null", "1", "\"a\""] {
            let text = format!(r#"{{"id": 7, "method": "m", "params": {params}}}"#);
            assert_eq!(read(&text), one(json!(7), Fault::invalid_params()), "{text}");
        }
    }

    #[test]
    fn a_batch_is_bounded() {
        let batch = |calls: usize| format!("[{}]", vec!["0"; calls].join(","));
        assert_eq!(read("[]"), Message::Many(Vec::new()));
        assert!(matches!(read(&batch(CALLS_MAX)), Message::Many(calls) if calls.len() == CALLS_MAX));
        assert!(matches!(read(&batch(CALLS_MAX + 1)), Message::One(Err(_))));
    }
}
