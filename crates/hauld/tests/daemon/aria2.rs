//! The dialect of aria2: its clients do with hauld what they do with aria2, and nobody does more by it than by the HTTP API.

mod attacks;
mod clients;

use serde_json::{Value, json};

use crate::support::{Answer, Daemon};

/// A new token.
async fn token(daemon: &Daemon, scope: haul_api::Scope) -> haul_api::MadeToken {
    let new = haul_api::NewToken { name: format!("{scope} of a test"), scope, jobs_max: None };
    daemon.client().make_token(&new).await.expect("a token is made")
}

/// Posts this body, with further lines in the head.
fn post(daemon: &Daemon, head: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "POST /jsonrpc HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n",
        daemon.tcp()
    );
    daemon.raw([head.as_bytes(), body].concat())
}

/// Makes a call with a token.
fn call(daemon: &Daemon, token: &str, method: &str, params: &[Value]) -> Answer {
    let params: Vec<Value> = std::iter::once(json!(format!("token:{token}"))).chain(params.iter().cloned()).collect();
    post(daemon, "", json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
}

/// The same, for what it answers.
fn result(daemon: &Daemon, token: &str, method: &str, params: &[Value]) -> Value {
    let answer = call(daemon, token, method, params);
    let mut body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert!(body["error"].is_null(), "{method} {params:?}: {body}");
    body["result"].take()
}

/// The same, for what it is refused with.
fn refusal(daemon: &Daemon, token: &str, method: &str, params: &[Value]) -> String {
    let answer = call(daemon, token, method, params);
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!((answer.status, &body["error"]["code"]), (400, &json!(1)), "{method} {params:?}: {body}");
    body["error"]["message"].as_str().expect("a message").to_owned()
}
