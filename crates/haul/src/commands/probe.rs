//! `probe`: what a server says of a file.

use haul_api::{Probe, Size, SubmitJob};

use crate::args::JobOptions;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::submit;
use crate::text::{escaped, shown_url};

pub(crate) async fn probe(daemon: &Daemon, url: &str, options: &JobOptions, out: &Out) -> Result<Exit, Failure> {
    let job: SubmitJob = submit::for_probe(url, options)?;
    let probe = daemon.client.probe(&job).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&probe)?;
    } else {
        facts(&probe).into_iter().try_for_each(|(name, value)| out.line(format!("{name:<13} {value}")))?;
    }
    Ok(Exit::Fine)
}

/// What is known, under the names of the API.
fn facts(probe: &Probe) -> Vec<(&'static str, String)> {
    let size = |bytes| format!("{} ({bytes} bytes)", Size(bytes).approx());
    let mut facts = vec![
        ("filename", escaped(&probe.filename).into_owned()),
        ("total_bytes", probe.total_bytes.map_or_else(|| "unknown".to_owned(), size)),
        ("resumable", if probe.resumable { "yes" } else { "no" }.to_owned()),
    ];
    let texts = [
        ("content_type", &probe.content_type),
        ("etag", &probe.etag),
        ("last_modified", &probe.last_modified),
        ("checksum", &probe.checksum),
    ];
    facts.extend(texts.into_iter().filter_map(|(name, text)| Some((name, escaped(text.as_ref()?).into_owned()))));
    facts.push(("final_url", shown_url(&probe.final_url)));
    if probe.insecure {
        facts.push(("insecure", "the server's certificate was not looked at".to_owned()));
    }
    facts
}
