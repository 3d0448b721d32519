//! The paths of the API: constants with `{id}` or `{host}` for the router, functions for clients.

use std::fmt::Write as _;

/// The address that the daemon listens on by default (H-A-U-L on a phone pad).
pub const DEFAULT_LISTEN: &str = "127.0.0.1:4285";

/// Submit and list jobs.
pub const JOBS: &str = "/v1/jobs";
/// Show, change and forget one job.
pub const JOB: &str = "/v1/jobs/{id}";
/// The chunks of one job.
pub const JOB_CHUNKS: &str = "/v1/jobs/{id}/chunks";
/// What has happened to one job.
pub const JOB_EVENTS: &str = "/v1/jobs/{id}/events";
/// What holds one job back.
pub const JOB_WHY: &str = "/v1/jobs/{id}/why";
/// The bytes of one job's file.
pub const JOB_CONTENT: &str = "/v1/jobs/{id}/content";
/// Pause one job.
pub const JOB_PAUSE: &str = "/v1/jobs/{id}/pause";
/// Resume one job.
pub const JOB_RESUME: &str = "/v1/jobs/{id}/resume";
/// Start a failed job again from its bytes.
pub const JOB_RETRY: &str = "/v1/jobs/{id}/retry";
/// Give one job up.
pub const JOB_CANCEL: &str = "/v1/jobs/{id}/cancel";
/// Verify the file of one job.
pub const JOB_VERIFY: &str = "/v1/jobs/{id}/verify";
/// Take the deletion of one job back.
pub const JOB_RESTORE: &str = "/v1/jobs/{id}/restore";
/// Ask what a server says of a file.
pub const PROBE: &str = "/v1/probe";
/// Pause all jobs.
pub const PAUSE_ALL: &str = "/v1/pause";
/// Resume all jobs.
pub const RESUME_ALL: &str = "/v1/resume";
/// Start failed jobs again.
pub const RETRY_ALL: &str = "/v1/retry";
/// Give jobs up.
pub const CANCEL_ALL: &str = "/v1/cancel";
/// List hosts.
pub const HOSTS: &str = "/v1/hosts";
/// Show, change and forget one host.
pub const HOST: &str = "/v1/hosts/{host}";
/// Totals.
pub const STATS: &str = "/v1/stats";
/// What happens to all jobs, as a stream.
pub const EVENTS: &str = "/v1/events";
/// Show and change settings.
pub const SETTINGS: &str = "/v1/settings";
/// What there is to know when something is wrong.
pub const DOCTOR: &str = "/v1/doctor";
/// Show and change what is logged.
pub const LOG_LEVEL: &str = "/v1/log-level";
/// List and make tokens.
pub const TOKENS: &str = "/v1/tokens";
/// Revoke one token.
pub const TOKEN: &str = "/v1/tokens/{id}";
/// Trade a code for a token, without a token.
pub const PAIR: &str = "/v1/pair";
/// Make such a code.
pub const PAIR_CODE: &str = "/v1/pair/code";
/// Have the daemon prove that it knows a token or a code, without a token.
pub const PROVE: &str = "/v1/prove";
/// What the daemon counts and measures, for Prometheus.
pub const METRICS: &str = "/metrics";
/// The dialect of aria2: each call brings its own token.
pub const JSONRPC: &str = "/jsonrpc";
/// Liveness, without a token.
pub const HEALTHZ: &str = "/healthz";
/// Readiness with reasons, without a token.
pub const READYZ: &str = "/readyz";
/// The OpenAPI document of this API, without a token.
pub const OPENAPI: &str = "/openapi.json";
/// A page that shows that document, without a token.
pub const DOCS: &str = "/docs";
/// The page's script.
pub const DOCS_SCRIPT: &str = "/docs/page.js";
/// The page's style sheet.
pub const DOCS_STYLE: &str = "/docs/page.css";

/// The web page, without a token.
pub const PAGE: &str = "/";
/// The files that the web page is made of, without a token.
pub const PAGE_ASSET: &str = "/assets/{file}";

/// The paths that want no token.
pub const OPEN: [&str; 10] = [HEALTHZ, READYZ, PAIR, PROVE, OPENAPI, DOCS, DOCS_SCRIPT, DOCS_STYLE, PAGE, PAGE_ASSET];

/// An action on one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// [`JOB_PAUSE`].
    Pause,
    /// [`JOB_RESUME`].
    Resume,
    /// [`JOB_RETRY`].
    Retry,
    /// [`JOB_CANCEL`].
    Cancel,
}

/// The path of one job, which is also its `Location`.
pub fn job(id: u64) -> String {
    fill(JOB, id)
}

/// The path of one job's chunks.
pub fn job_chunks(id: u64) -> String {
    fill(JOB_CHUNKS, id)
}

/// The path of what has happened to one job.
pub fn job_events(id: u64) -> String {
    fill(JOB_EVENTS, id)
}

/// The path of what holds one job back.
pub fn job_why(id: u64) -> String {
    fill(JOB_WHY, id)
}

/// The path of the bytes of one job's file.
pub fn job_content(id: u64) -> String {
    fill(JOB_CONTENT, id)
}

/// The path of verifying one job's file.
pub fn job_verify(id: u64) -> String {
    fill(JOB_VERIFY, id)
}

/// The path of taking one job's deletion back.
pub fn job_restore(id: u64) -> String {
    fill(JOB_RESTORE, id)
}

/// The path of one token.
pub fn token(id: u64) -> String {
    fill(TOKEN, id)
}

/// The path of one host, whose name is URL-encoded.
pub fn host(name: &str) -> String {
    HOST.replace("{host}", &encoded(name))
}

/// The path of an action on one job.
pub fn job_action(id: u64, action: Action) -> String {
    let pattern = match action {
        Action::Pause => JOB_PAUSE,
        Action::Resume => JOB_RESUME,
        Action::Retry => JOB_RETRY,
        Action::Cancel => JOB_CANCEL,
    };
    fill(pattern, id)
}

fn fill(pattern: &str, id: u64) -> String {
    pattern.replace("{id}", &id.to_string())
}

/// A text as one segment of a path: all but the unreserved characters of RFC 3986 are escaped.
fn encoded(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(byte.into()),
            _ => write!(segment, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_takes_its_place_in_the_pattern() {
        assert_eq!(job(17), "/v1/jobs/17");
        assert_eq!(job_chunks(17), "/v1/jobs/17/chunks");
        assert_eq!(job_events(17), "/v1/jobs/17/events");
        assert_eq!(job_why(17), "/v1/jobs/17/why");
        assert_eq!(job_content(17), "/v1/jobs/17/content");
        assert_eq!(job_verify(17), "/v1/jobs/17/verify");
        assert_eq!(job_restore(17), "/v1/jobs/17/restore");
        assert_eq!(job_action(17, Action::Retry), "/v1/jobs/17/retry");
        assert_eq!(job_action(u64::MAX, Action::Pause).matches('{').count(), 0);
    }

    #[test]
    fn a_host_is_one_segment_whatever_it_holds() {
        assert_eq!(host("https://example.org:8443"), "/v1/hosts/https%3A%2F%2Fexample.org%3A8443");
        assert_eq!(host("a/../b?c#d e%2F"), "/v1/hosts/a%2F..%2Fb%3Fc%23d%20e%252F");
    }
}
