//! `why`: what holds a job back, in one sentence and then the rest.

use haul_api::Why;

use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::text::escaped;

pub(crate) async fn why(daemon: &Daemon, id: u64, out: &Out) -> Result<Exit, Failure> {
    let why = daemon.client.why(id).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&why)?;
    } else {
        out.line(in_words(id, &why))?;
    }
    Ok(Exit::Fine)
}

/// The summary, and below it what it does not mention.
fn in_words(id: u64, why: &Why) -> String {
    let id = id.to_string();
    let indent = id.len() + 2;
    let others = why.reasons.iter().filter(|reason| !why.summary.contains(&reason.message));
    let others = others.map(|reason| format!("\n{:indent$}also: {}", "", escaped(&reason.message)));
    format!("{id}  {}{}", escaped(&why.summary), others.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_said_twice_and_nothing_can_steer_the_terminal() {
        let why: Why = serde_json::from_value(json!({
            "summary": "fetching at 360 KB/s, 41 s left: a.example takes 2 connections",
            "reasons": [
                {"code": "host-cap", "message": "a.example takes 2 connections", "learned_cap": 2},
                {"code": "per-connection", "message": "the server gives about 180 KB/s per connection"},
                {"code": "mirror-dropped", "message": "mirror 1 is not used any more: \u{1b}[2J"},
            ],
        }))
        .expect("an answer");
        let expected = "17  fetching at 360 KB/s, 41 s left: a.example takes 2 connections\n    \
                        also: the server gives about 180 KB/s per connection\n    \
                        also: mirror 1 is not used any more: \\u{1b}[2J";
        assert_eq!(in_words(17, &why), expected);
    }
}
