//! `show`: all about one job, its chunks, and what has happened to it.

use haul_api::query::LIMIT_MAX;
use haul_api::{
    Chunk, ChunkState, ClientError, Event, EventList, EventQuery, Job, Method, Mirror, OnChange, Rate, Size, Verified,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{limit, list};
use crate::args::Show;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::sentence;
use crate::table::{Align, Cell, Table};
use crate::text::{escaped, left, percent};

pub(crate) async fn show(daemon: &Daemon, args: &Show, out: &Out) -> Result<Exit, Failure> {
    let failed = |error| daemon.failure(error);
    if args.chunks {
        let list = daemon.client.chunks(args.id).await.map_err(failed)?;
        if out.is_json() {
            out.json(&list)?;
        } else {
            out.line(chunk_table(&list.chunks).render(out.width()))?;
        }
        return Ok(Exit::Fine);
    }
    if args.events {
        let list = all_events(daemon, args.id).await.map_err(failed)?;
        if out.is_json() {
            out.json(&list)?;
        } else {
            out.line(event_lines(&list.events))?;
        }
        return Ok(Exit::Fine);
    }
    let job = daemon.client.job(args.id).await.map_err(failed)?;
    if out.is_json() {
        out.json(&job)?;
    } else {
        let style = list::style(job.state);
        for (name, value) in facts(&job, Timestamp::now()) {
            let value = if name == "state" { style.apply_to(value).to_string() } else { value };
            out.line(format!("{name:<13} {value}"))?;
        }
    }
    Ok(Exit::Fine)
}

async fn all_events(daemon: &Daemon, id: u64) -> Result<EventList, ClientError> {
    let mut query = EventQuery { cursor: None, limit: Some(LIMIT_MAX) };
    let mut events = Vec::new();
    loop {
        let page = daemon.client.events(id, &query).await?;
        events.extend(page.events);
        if page.next_cursor.is_none() {
            return Ok(EventList { events, next_cursor: None });
        }
        query.cursor = events.last().map(|event| event.id);
    }
}

/// A line for each event: when, what, and in words.
fn event_lines(events: &[Event]) -> String {
    let kinds: Vec<_> = events.iter().map(|event| escaped(&event.kind)).collect();
    let width = kinds.iter().map(|kind| kind.chars().count()).max().unwrap_or(0);
    let lines = events.iter().zip(&kinds).map(|(event, kind)| {
        let time = event.at.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        format!("{time}  {kind:<width$}  {}", escaped(&event.message))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Everything that is known of a job, under the names of the API.
fn facts(job: &Job, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = vec![("id", job.id.to_string()), ("state", state(job))];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    let text = |text: &String| escaped(text).into_owned();
    add(
        "reason",
        job.reason.as_ref().map(|reason| format!("{} ({})", sentence::reason(job, now), escaped(&reason.code))),
    );
    add("url", Some(text(&job.url)));
    // The one that a job always has is `url`.
    for mirror in job.mirrors.iter().filter(|_| job.mirrors.len() > 1) {
        add("mirror", Some(mirror_words(mirror)));
    }
    add("path", job.path.as_ref().map(text));
    add("done", Some(format!("{} ({})", sentence::sizes(job), sentence::progress(job))));
    add(
        "on disk",
        (job.durable_bytes < job.done_bytes).then(|| format!("{} for certain", Size(job.durable_bytes).approx())),
    );
    add("speed", (job.speed > 0).then(|| Rate(job.speed).approx()));
    add("left", job.eta_seconds.map(left));
    add("connections", Some(format!("{} of at most {}", job.connections.active, job.connections.max)));
    add("chunks", (job.chunks.total > 0).then(|| format!("{} of {} done", job.chunks.done, job.chunks.total)));
    add("checksum", job.checksum.as_ref().map(text));
    add("verified by", job.verification.map(word));
    add("verified", job.verified.as_ref().map(verified_words));
    add("on change", (job.on_change != OnChange::default()).then(|| word(job.on_change)));
    add("insecure", job.insecure.then(|| "THE SERVER'S CERTIFICATE IS NOT LOOKED AT".to_owned()));
    add("proxy", job.proxy.as_ref().map(text));
    add("method", (job.method != Method::default()).then(|| "POST".to_owned()));
    add("starts", job.start_at.map(local_time));
    add("resumable", job.resumable.map(|yes| if yes { "yes" } else { "no" }.to_owned()));
    add("priority", (job.priority != 0).then(|| job.priority.to_string()));
    add("limit", (job.bandwidth_limit > 0).then(|| limit::words(job.bandwidth_limit)));
    add("label", job.label.as_ref().map(text));
    add("created", Some(local_time(job.created_at)));
    add("started", job.started_at.map(local_time));
    add("finished", job.finished_at.map(local_time));
    facts
}

/// One line on a mirror: where, what it is good for, what it does, and what is wrong with it.
fn mirror_words(mirror: &Mirror) -> String {
    let mut words = escaped(&mirror.url).into_owned();
    if let Some(state) = mirror.state {
        words += &format!("  {}", state.as_str());
    }
    if let Some(bytes) = mirror.done_bytes.filter(|bytes| *bytes > 0) {
        words += &format!("  {}", Size(bytes).approx());
    }
    if mirror.connections > 0 {
        words += &format!("  {} connections, {}", mirror.connections, Rate(mirror.speed).approx());
    }
    if let Some(reason) = &mirror.reason {
        words += &format!("  {} ({})", escaped(&reason.message), escaped(&reason.code));
    }
    words
}

/// What was found when the file was last verified on demand.
fn verified_words(verified: &Verified) -> String {
    let when = local_time(verified.at);
    if verified.bad.is_empty() {
        return format!("{} intact, {when}", Size(verified.checked_bytes).approx());
    }
    let bad: u64 = verified.bad.iter().map(|bad| bad.end - bad.start).sum();
    format!("{} damaged, {when}", Size(bad).approx())
}

fn state(job: &Job) -> String {
    match job.waiting_for {
        Some(waiting_for) => format!("{} for {}", job.state.as_str(), waiting_for.as_str()),
        None => job.state.as_str().to_owned(),
    }
}

fn chunk_table(chunks: &[Chunk]) -> Table {
    let mut table = Table::new(&[
        ("CHUNK", Align::Right),
        ("FROM", Align::Right),
        ("SIZE", Align::Right),
        ("DONE", Align::Right),
        ("STATE", Align::Left),
        ("SPEED", Align::Right),
        ("RETRIES", Align::Right),
        ("STRIKES", Align::Right),
        ("LAST ERROR", Align::Left),
    ]);
    for chunk in chunks {
        let size = chunk.end.map(|end| end.saturating_sub(chunk.start));
        let exempt = if chunk.exempt { " (no floor)" } else { "" };
        let row: Vec<Cell> = vec![
            chunk.index.to_string().into(),
            chunk.start.to_string().into(),
            size.map_or_else(|| "-".to_owned(), |size| Size(size).approx()).into(),
            size.map_or_else(|| "-".to_owned(), |size| format!("{} %", percent(chunk.done_bytes, size))).into(),
            chunk_state(chunk.state).into(),
            chunk.speed.map_or_else(|| "-".to_owned(), |speed| Rate(speed).approx()).into(),
            chunk.retries.to_string().into(),
            format!("{}{exempt}", chunk.strikes).into(),
            chunk.last_error.as_deref().map_or_else(|| "-".into(), escaped).into_owned().into(),
        ];
        table.push(row);
    }
    table
}

fn chunk_state(state: ChunkState) -> &'static str {
    match state {
        ChunkState::Ready => "ready",
        ChunkState::Active => "active",
        ChunkState::Backoff => "backoff",
        ChunkState::Done => "done",
    }
}

/// The word on the wire.
fn word(value: impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).expect("a word is plain data");
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn local_time(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use haul_api::{JobState, MirrorReason, MirrorState, Verification};

    use super::*;
    use crate::sentence::tests::{job, job_because};

    #[test]
    fn unknown_facts_are_left_out() {
        let facts = facts(&job(JobState::Queued), Timestamp::UNIX_EPOCH);
        let names: Vec<_> = facts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["id", "state", "url", "done", "connections", "chunks", "resumable", "created"]);
    }

    #[test]
    fn f_sec_24_foreign_text_is_harmless() {
        let mut job = job_because(JobState::Failed, "\x1b[2J", None);
        job.path = Some("/srv/\x1b]0;x\x07".to_owned());
        job.label = Some("a\nb".to_owned());
        job.verification = Some(Verification::Damaged);
        let shown: String = facts(&job, Timestamp::UNIX_EPOCH).into_iter().map(|(_, value)| value).collect();
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.contains("damaged"), "{shown}");
    }

    #[test]
    fn mirrors_tell_what_they_are_good_for() {
        let mirror = |url: &str, state| Mirror {
            url: url.to_owned(),
            state,
            connections: 0,
            speed: 0,
            done_bytes: state.map(|_| 0),
            reason: None,
        };
        let mut job = job(JobState::Active);
        job.mirrors = vec![mirror("http://a/f", Some(MirrorState::Main))];
        let lines = |job: &Job| {
            let facts = facts(job, Timestamp::UNIX_EPOCH).into_iter();
            facts.filter(|(name, _)| *name == "mirror").map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert!(lines(&job).is_empty(), "the only one is the job's URL");
        (job.mirrors[0].connections, job.mirrors[0].speed, job.mirrors[0].done_bytes) = (4, 2_000_000, Some(5_000_000));
        let message = "http://b/f now has \x1b another version of the file".to_owned();
        let reason = Some(MirrorReason { code: "source-changed".to_owned(), message });
        job.mirrors.push(Mirror { reason, ..mirror("http://b/f", Some(MirrorState::Dropped)) });
        job.mirrors.push(mirror("http://c/f", None));
        let shown = lines(&job);
        assert_eq!(shown[0], "http://a/f  main  5.00 MB  4 connections, 2.00 MB/s");
        assert!(shown[1].starts_with("http://b/f  dropped  http://b/f now has "), "{shown:?}");
        assert!(shown[1].ends_with(" another version of the file (source-changed)"), "{shown:?}");
        assert!(!shown[1].contains(char::is_control), "{shown:?}");
        assert_eq!(shown[2], "http://c/f");
    }

    #[test]
    fn events_are_lines_with_their_kinds_aligned() {
        let event = |kind: &str, message: &str| Event {
            id: 1,
            job: 17,
            at: Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            message: message.to_owned(),
            data: serde_json::Map::new(),
        };
        let text =
            event_lines(&[event("accepted", "accepted"), event("host-cap", "a \x1b[2J"), event("fault", "broke")]);
        let ends: Vec<_> = text.lines().map(|line| line.split_once("  ").expect("a time").1).collect();
        assert_eq!(ends, ["accepted  accepted", "host-cap  a \\u{1b}[2J", "fault     broke"]);
        assert_eq!(event_lines(&[]), "");
    }

    #[test]
    fn chunks_tell_their_story() {
        let chunk = Chunk {
            index: 3,
            start: 3_145_728,
            end: Some(4_194_304),
            done_bytes: 524_288,
            durable_bytes: 0,
            state: ChunkState::Active,
            retries: 4,
            strikes: 3,
            exempt: true,
            speed: Some(50_000),
            last_error: Some("below-floor".to_owned()),
        };
        let text = chunk_table(&[chunk]).render(None);
        let row = text.lines().last().expect("a row");
        assert_eq!(
            row.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>(),
            ["3", "3145728", "1.04 MB", "50 %", "active", "50.0 KB/s", "4", "3 (no floor)", "below-floor"]
        );
    }
}
