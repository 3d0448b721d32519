//! Streams tell everything once, in its order, to readers of all kinds, and end when they must.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use haul_api::{
    Address, Client, ClientError, Event, EventStream, JobState, NewToken, PatchJob, ProblemCode, Scope, Start,
    StreamQuery, SubmitJob, Told,
};
use haul_testkit::{Content, File, Server};

use super::history;
use crate::support::{DEADLINE, Daemon, MIB, refusal, wait_until};

/// The next that a stream tells.
async fn next(stream: &mut EventStream) -> Told {
    let told = tokio::time::timeout(DEADLINE, stream.next()).await;
    told.expect("it is told within the deadline").expect("the stream goes on")
}

/// Reads a stream until it tells this of a job; all events that have come until then.
async fn until(stream: &mut EventStream, job: u64, kind: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        if let Told::Event(event) = next(stream).await {
            let is_last = event.job == job && event.kind == kind;
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

fn of_types(types: &[&str]) -> StreamQuery {
    StreamQuery { types: types.iter().map(|word| (*word).to_owned()).collect(), ..StreamQuery::default() }
}

fn paused(url: &str) -> SubmitJob {
    SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(url) }
}

const SOMEWHERE: &str = "https://files.example/a.bin";

/// Changes a job, which is told.
async fn edit(daemon: &Daemon, id: u64, priority: i32) {
    let patch = PatchJob { priority: Some(priority), ..PatchJob::default() };
    daemon.client().patch(id, &patch).await.expect("it can be changed");
}

/// A stream as it comes over TCP.
struct Raw {
    reader: BufReader<TcpStream>,
}

impl Raw {
    fn open(daemon: &Daemon, query: &str, token: &str, after: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(daemon.tcp()).expect("the daemon listens");
        // So what is on its way to a reader that does not read is the daemon's, not the system's.
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 64 << 10).expect("a size that is permitted");
        let after = after.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!(
            "GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{after}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is taken");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Self { reader: BufReader::new(stream) }
    }

    /// Reads up to a line in which this stands.
    fn until(&mut self, part: &str) -> String {
        // A stream that tells nothing says that it is alive, so no read takes for ever.
        let (mut text, until) = (String::new(), Instant::now() + DEADLINE);
        loop {
            assert!(Instant::now() < until, "not within {DEADLINE:?}: {part}");
            let begun = text.len();
            let read = self.reader.read_line(&mut text).expect("a line within the deadline");
            assert!(read > 0, "the stream ended before {part}: {text}");
            if text[begun..].contains(part) {
                return text;
            }
        }
    }

    /// Reads to the end, which must come.
    fn rest(mut self) -> String {
        let (mut text, until) = (String::new(), Instant::now() + DEADLINE);
        while self.reader.read_line(&mut text).expect("a line within the deadline") > 0 {
            assert!(Instant::now() < until, "no end within {DEADLINE:?}: {text}");
        }
        text
    }
}

/// Memory that the daemon uses.
fn resident_kib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_stream_that_is_read_over_kills_of_the_daemon_has_no_gap_and_nothing_twice() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(1, 8 * MIB)).etag("\"v1\"").shared_rate(2_000_000));
    let first = daemon.submit_job(&paused(SOMEWHERE)).await;
    // From the first event that there has ever been on, and from now on.
    let mut whole = daemon.client().event_stream(StreamQuery::default(), Some(0));
    let mut told = until(&mut whole, first, "accepted").await;
    let mut later = daemon.client().event_stream(StreamQuery::default(), None);
    let second = daemon.submit(&server.url("/a.bin")).await;
    // Where it begins depends on when it was opened; from its first event on it has to be complete.
    let mut told_later = vec![first_of(&mut later, second).await];
    for priority in [1, 2] {
        edit(&daemon, first, priority).await;
        told.extend(until(&mut whole, first, "edited").await);
        daemon.kill();
        daemon.restart().await;
        edit(&daemon, first, priority + 10).await;
        told.extend(until(&mut whole, first, "edited").await);
    }
    told.extend(until(&mut whole, second, "completed").await);
    told_later.extend(until(&mut later, second, "completed").await);

    let mut all: Vec<Event> = history(&daemon, first).await;
    all.extend(history(&daemon, second).await);
    all.sort_by_key(|event| event.id);
    let last = told.last().expect("there is one").id;
    all.retain(|event| event.id <= last);
    assert_eq!(told, all);
    let begin = all.iter().position(|event| event.id == told_later[0].id).expect("it is one of them");
    assert_eq!(told_later, all[begin..]);
}

/// Reads until the stream has told anything of a job: then it is open.
async fn first_of(stream: &mut EventStream, job: u64) -> Event {
    loop {
        match next(stream).await {
            Told::Event(event) if event.job == job => return event,
            Told::Event(_) | Told::Progress(_) | Told::Lagged(_) => {}
        }
    }
}

#[tokio::test]
async fn progress_is_told_of_what_changes_four_times_a_second_at_most_and_has_no_id() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(2, 8 * MIB)).shared_rate(2_500_000));
    daemon.submit_job(&paused(SOMEWHERE)).await;
    let id = daemon.submit(&server.url("/a.bin")).await;
    let mut stream = daemon.client().event_stream(of_types(&["progress"]), None);
    let (mut begun, mut last, mut told) = (None, 0, 0_u32);
    while last < 6 * MIB {
        let Told::Progress(jobs) = next(&mut stream).await else { panic!("only progress is asked for") };
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [id], "nothing of a job that rests");
        let job = &jobs[0];
        assert!(job.done_bytes >= last && matches!(job.state, JobState::Probing | JobState::Active), "{job:?}");
        last = job.done_bytes;
        begun.get_or_insert_with(Instant::now);
        told += 1;
    }
    assert!(told >= 4, "told {told} times");
    // One may have waited here while the one before was read.
    let least = Duration::from_millis(250) * (told - 2);
    assert!(begun.expect("it was told").elapsed() >= least, "told {told} times");
    let mut raw = Raw::open(&daemon, "?types=progress", &daemon.home().token(), None);
    let text = raw.until("\"done_bytes\"");
    assert!(text.contains("event: progress") && !text.contains("id: "), "{text}");
}

#[tokio::test]
async fn f_sec_22_a_stream_tells_what_its_filters_mean_and_what_its_token_may_see() {
    let daemon = Daemon::start().await;
    let of = async |scope| {
        let new = NewToken { name: "a".to_owned(), scope, jobs_max: None };
        let token = daemon.client().make_token(&new).await.expect("a token").token;
        Client::new(Address::tcp(&format!("http://{}", daemon.tcp())).expect("an address"), Some(&token))
            .expect("a client")
    };
    let (submitter, reader) = (of(Scope::Submit).await, of(Scope::Read).await);
    let labelled = SubmitJob { label: Some("iso".to_owned()), ..paused(SOMEWHERE) };
    let owners = daemon.submit_job(&labelled).await;
    let own = submitter.submit(&paused(SOMEWHERE)).await.expect("it may submit").id;
    edit(&daemon, owners, 3).await;
    edit(&daemon, own, 3).await;
    let kinds = async |client: &Client, query: StreamQuery| {
        let mut stream = client.event_stream(query, Some(0));
        let events = until(&mut stream, own, "edited").await;
        events.into_iter().map(|event| (event.job, event.kind)).collect::<Vec<_>>()
    };
    let pair = |job, kind: &str| (job, kind.to_owned());
    let own_ones = [pair(own, "accepted"), pair(own, "edited")];
    let all = [pair(owners, "accepted"), pair(own, "accepted"), pair(owners, "edited"), pair(own, "edited")];
    assert_eq!(kinds(&submitter, StreamQuery::default()).await, own_ones);
    assert_eq!(kinds(&reader, StreamQuery::default()).await, all);
    assert_eq!(kinds(&reader, StreamQuery { job: Some(own), ..StreamQuery::default() }).await, own_ones);
    assert_eq!(kinds(&reader, of_types(&["edited"])).await, [pair(owners, "edited"), pair(own, "edited")]);
    let iso = StreamQuery { label: Some("iso".to_owned()), ..StreamQuery::default() };
    let mut stream = reader.event_stream(iso, Some(0));
    let events = until(&mut stream, owners, "edited").await;
    assert_eq!(events.iter().map(|event| event.job).collect::<Vec<_>>(), [owners, owners]);

    let code = async |client: &Client, query: StreamQuery| {
        refusal(client.event_stream(query, None).next().await).known_code().expect("a code")
    };
    for foreign in [owners, 999] {
        let query = StreamQuery { job: Some(foreign), ..StreamQuery::default() };
        assert_eq!(code(&submitter, query).await, ProblemCode::JobNotFound);
    }
    let problem = refusal(reader.event_stream(of_types(&["done"]), None).next().await);
    assert_eq!((problem.status, problem.field.as_deref()), (422, Some("types")));
    let token = daemon.home().token();
    for id in ["x", "-1", "18446744073709551615"] {
        let answer = daemon.raw(format!(
            "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nLast-Event-ID: {id}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(answer.problem(id).field.as_deref(), Some("Last-Event-ID"));
    }
}

/// The size of an event in the next test: a few fill what lies between the daemon and a reader that does not read.
const FAT: usize = 40_000;

#[tokio::test]
async fn f_api_06_a_reader_that_does_not_read_costs_nothing_harms_nobody_and_is_told_what_it_missed() {
    let mut daemon = Daemon::start().await;
    let id = daemon.submit_job(&paused(SOMEWHERE)).await;
    daemon.terminate();
    let database = rusqlite::Connection::open(daemon.home().database()).expect("the database");
    let data = serde_json::json!({"code": "a", "detail": "x".repeat(FAT)}).to_string();
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 990)
        INSERT INTO events (job_id, at_ms, kind, data) SELECT ?1, n, 'failed', ?2 FROM n";
    database.execute(fill, (id.cast_signed(), data)).expect("events");
    drop(database);
    daemon.restart().await;
    let token = daemon.home().token();
    edit(&daemon, id, 1).await;
    let before = resident_kib(&daemon);
    let mut idle: Vec<_> = (0..4).map(|_| Raw::open(&daemon, "?types=failed,edited", &token, Some(0))).collect();
    for reader in &mut idle {
        reader.until("event: failed");
    }
    // Of these, what the idle readers have not been told yet goes while they do not read.
    let mut other = daemon.client().event_stream(of_types(&["edited"]), Some(0));
    let other = tokio::spawn(async move {
        let mut last = 0;
        loop {
            let Told::Event(event) = next(&mut other).await else { panic!("others are not behind") };
            assert!(last == 0 || event.id == last + 1, "{} after {last}", event.id);
            last = event.id;
            if event.data["fields"] == serde_json::json!(["label"]) {
                return;
            }
        }
    });
    for priority in 2..402 {
        edit(&daemon, id, priority % 50).await;
    }
    let last = PatchJob { label: Some(Some("last".to_owned())), ..PatchJob::default() };
    daemon.client().patch(id, &last).await.expect("it can be changed");
    other.await.expect("it was told of everything");
    let grown = resident_kib(&daemon).saturating_sub(before);
    assert!(grown < 40 << 10, "{grown} KiB more for four readers of 36 MB each");
    let mut reader = idle.remove(0);
    let lagged = reader.until("\"missed\"");
    let missed = lagged.rsplit("\"missed\":").next().and_then(|rest| rest.split('}').next());
    let missed: u64 = missed.and_then(|text| text.parse().ok()).expect("a number");
    let last_told = lagged.lines().rev().find_map(|line| line.strip_prefix("id: ")).expect("it was told some");
    let last_told: u64 = last_told.trim().parse().expect("an id");
    let rest = reader.until("id: ");
    let next_told: u64 =
        rest.lines().last().and_then(|line| line.strip_prefix("id: ")?.trim().parse().ok()).expect("an id");
    assert_eq!(next_told, last_told + missed + 1, "what is missing was counted");
}

/// Streams at a time.
const STREAMS_MAX: usize = 64;

#[tokio::test]
async fn f_api_06_sixty_four_streams_are_served_and_one_more_is_refused_until_one_ends() {
    let daemon = Daemon::start().await;
    let token = daemon.home().token();
    let mut streams: Vec<_> = (0..STREAMS_MAX).map(|_| Raw::open(&daemon, "", &token, None)).collect();
    for stream in &mut streams {
        stream.until("id: ");
    }
    let refused = daemon.raw(format!(
        "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!((refused.status, &*refused.problem("one more").code), (503, "too-many-streams"));
    assert!(refused.header("retry-after").is_some());
    daemon.submit_job(&paused(SOMEWHERE)).await;
    for stream in &mut streams {
        stream.until("event: accepted");
    }
    streams.pop();
    wait_until("there is a place again", async || {
        let mut stream = daemon.client().event_stream(StreamQuery::default(), Some(0));
        match stream.next().await {
            Ok(_) => Some(()),
            Err(ClientError::Problem(problem)) if &*problem.code == "too-many-streams" => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

#[tokio::test]
async fn f_sec_04_a_token_that_is_revoked_ends_its_streams() {
    let daemon = Daemon::start().await;
    let new = NewToken { name: "a".to_owned(), scope: Scope::Read, jobs_max: None };
    let (one, other) = (daemon.client().make_token(&new).await, daemon.client().make_token(&new).await);
    let (one, other) = (one.expect("a token"), other.expect("a token"));
    let open = |token: &str| {
        let mut stream = Raw::open(&daemon, "", token, None);
        stream.until("id: ");
        stream
    };
    let (ends, mut stays) = (open(&one.token), open(&other.token));
    let address = Address::tcp(&format!("http://{}", daemon.tcp())).expect("an address");
    let mut typed =
        Client::new(address, Some(&one.token)).expect("a client").event_stream(StreamQuery::default(), Some(0));
    daemon.submit_job(&paused(SOMEWHERE)).await;
    next(&mut typed).await;
    daemon.client().revoke_token(one.about.id).await.expect("it is revoked");
    daemon.submit_job(&paused(SOMEWHERE)).await;
    ends.rest();
    stays.until("\"job\":2");
    let problem = loop {
        match tokio::time::timeout(DEADLINE, typed.next()).await.expect("it ends") {
            Ok(_) => {}
            error => break refusal(error),
        }
    };
    assert_eq!(problem.known_code(), Some(ProblemCode::Unauthorized));
}

#[tokio::test]
async fn f_proc_01_streams_end_at_once_when_the_daemon_stops() {
    let mut daemon = Daemon::start().await;
    let token = daemon.home().token();
    let mut streams: Vec<_> = (0..8).map(|_| Raw::open(&daemon, "", &token, None)).collect();
    for stream in &mut streams {
        stream.until("id: ");
    }
    let (status, took) = daemon.terminate();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    for stream in streams {
        stream.rest();
    }
}

#[tokio::test]
async fn a_reader_of_another_database_is_told_that_it_knows_nothing() {
    let daemon = Daemon::start().await;
    let mut stream = Raw::open(&daemon, "", &daemon.home().token(), Some(4711));
    let text = stream.until("id: ");
    assert!(text.contains("event: lagged") && text.ends_with("id: 0\n"), "{text}");
    daemon.submit_job(&paused(SOMEWHERE)).await;
    stream.until("event: accepted");
}
