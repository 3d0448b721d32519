//! Who calls, what that scope permits, and how much one message may ask for.

use std::time::Duration;

use haul_store::Scope;
use serde_json::{Value, json};

use super::envelope::{Call, Message, Unread, answer};
use super::fault::Fault;
use super::methods::{MULTICALL, Method, Need};
use super::params::Params;
use crate::access::Caller;
use crate::api::{Api, Via, admitted, beyond_scope};

/// Calls of one message, those within others counted. A guess: a page of a front end needs six.
pub(super) const CALLS_MAX: usize = 1000;

/// Jobs that one message may be told of: some 20 MB. A guess: front ends ask for three lists of 1,000.
const JOBS_MAX: usize = 20_000;

/// How long a message waits for its answer that has a wrong token or none, as with aria2 itself.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// The way that messages come, as far as it says something about who sends them.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) via: Via,
    /// A token in the head of the request, for calls without one.
    pub(super) bearer: Option<String>,
    /// It may look and no more.
    pub(super) looks_only: bool,
}

/// The answer to a message.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The HTTP status.
    pub(super) status: u16,
    pub(super) body: Value,
    /// Whoever was the first to be admitted.
    pub(super) caller: Option<Caller>,
}

/// One message while it is carried out.
pub(super) struct Session<'a> {
    pub(super) api: &'a Api,
    asker: &'a Asker,
    calls_left: usize,
    jobs_left: usize,
    caller: Option<Caller>,
    was_refused: bool,
}

/// Carries out what a message asks for.
pub(super) async fn carry_out(api: &Api, asker: &Asker, message: Message) -> Outcome {
    let mut session =
        Session { api, asker, calls_left: CALLS_MAX, jobs_left: JOBS_MAX, caller: None, was_refused: false };
    let (status, body) = match message {
        Message::One(call) => {
            let (id, result) = session.one(call).await;
            (result.as_ref().err().map_or(200, Fault::status), answer(id, result))
        }
        Message::Many(calls) => {
            let mut answers = Vec::with_capacity(calls.len());
            for call in calls {
                let (id, result) = session.one(call).await;
                answers.push(answer(id, result));
            }
            (200, Value::Array(answers))
        }
    };
    if session.was_refused {
        // Whoever guesses has to wait, once for a message.
        api.stop.run_until_cancelled(tokio::time::sleep(REFUSED_AFTER)).await;
    }
    Outcome { status, body, caller: session.caller }
}

impl Session<'_> {
    async fn one(&mut self, call: Result<Call, Unread>) -> (Value, Result<Value, Fault>) {
        let Call { id, method, params } = match call {
            Ok(call) => call,
            Err(Unread { id, fault }) => return (id, Err(fault)),
        };
        let params = Params(params);
        let result = if method == MULTICALL { self.several(&params).await } else { self.method(&method, params).await };
        (id, result)
    }

    /// `system.multicall`, which wants no token: each of its calls brings its own.
    async fn several(&mut self, params: &Params) -> Result<Value, Fault> {
        let calls = params.list(0)?;
        if calls.len() > CALLS_MAX {
            return Err(Fault::too_much(&format!("{CALLS_MAX} calls")));
        }
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            results.push(match self.inner(call).await {
                Ok(value) => json!([value]),
                Err(fault) => fault.body(),
            });
        }
        Ok(Value::Array(results))
    }

    async fn inner(&mut self, call: &Value) -> Result<Value, Fault> {
        let call = call.as_object().ok_or_else(|| Fault::new("system.multicall expected struct."))?;
        let method = call.get("methodName").and_then(Value::as_str).ok_or_else(|| Fault::new("Missing methodName."))?;
        if method == MULTICALL {
            return Err(Fault::new("Recursive system.multicall forbidden."));
        }
        let params = call.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
        self.method(method, Params(params)).await
    }

    async fn method(&mut self, name: &str, mut params: Params) -> Result<Value, Fault> {
        self.calls_left =
            self.calls_left.checked_sub(1).ok_or_else(|| Fault::too_much(&format!("{CALLS_MAX} calls")))?;
        if let Some(value) = super::methods::about(name) {
            return Ok(value);
        }
        let token = params.take_token();
        let Some(caller) = self.admitted(token).await else {
            self.was_refused = true;
            return Err(Fault::unauthorized());
        };
        // Only now: who has no token learns nothing of the methods.
        let method = Method::named(name).ok_or_else(|| Fault::no_method(name))?;
        self.permitted(caller, method.need())?;
        caller.handle(self.run(method, &params)).await
    }

    async fn admitted(&mut self, token: Option<String>) -> Option<Caller> {
        let caller = match token {
            Some(token) => self.api.access.caller(&token).await,
            None => admitted(self.api, self.asker.bearer.as_deref(), self.asker.via).await,
        }?;
        self.caller = self.caller.or(Some(caller));
        Some(caller)
    }

    fn permitted(&self, caller: Caller, need: Need) -> Result<(), Fault> {
        let may = match (caller.scope, need) {
            (Scope::Admin, Need::Look | Need::Settings | Need::Submit | Need::Change)
            | (Scope::Read, Need::Look | Need::Settings)
            | (Scope::Submit, Need::Look | Need::Submit) => true,
            (Scope::Read, Need::Submit | Need::Change) | (Scope::Submit, Need::Settings | Need::Change) => false,
        };
        if !may {
            return Err(beyond_scope(caller.scope).into());
        }
        match need {
            Need::Submit | Need::Change if self.asker.looks_only => {
                Err(Fault::new("a web page may change nothing by GET; use POST or a WebSocket"))
            }
            Need::Look | Need::Settings | Need::Submit | Need::Change => Ok(()),
        }
    }

    /// Takes so many jobs from those that the message may be told of.
    pub(super) fn spend(&mut self, jobs: usize) -> Result<(), Fault> {
        self.jobs_left =
            self.jobs_left.checked_sub(jobs).ok_or_else(|| Fault::too_much(&format!("{JOBS_MAX} jobs")))?;
        Ok(())
    }
}
