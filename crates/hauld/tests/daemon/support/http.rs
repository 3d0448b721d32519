//! Raw HTTP, for requests that no client would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use haul_api::{PROBLEM_MEDIA_TYPE, Problem};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 when the daemon hung up without an answer.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A daemon that needs longer than this to answer or to hang up has failed the test.
const PATIENCE: Duration = Duration::from_secs(15);

impl Answer {
    /// Sends these bytes on a new connection and reads until the daemon closes it.
    pub(crate) fn to(address: SocketAddr, request: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut writer = stream.try_clone().expect("a second handle");
        std::thread::scope(|scope| {
            // A refused body is not read to its end: then writing fails and the answer is there nevertheless.
            scope.spawn(move || writer.write_all(request).ok());
            Self::read(stream)
        })
    }

    /// Reads until the daemon closes the connection.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is as good as an end.
        stream.read_to_end(&mut bytes).ok();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Sends these bytes on a new connection and reads until this has come, of an answer that has no end.
    pub(crate) fn begin(address: SocketAddr, request: &[u8], part: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request).expect("it is taken");
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&bytes).contains(part) {
            let read = stream.read(&mut buffer).unwrap_or(0);
            assert!(read > 0, "{part} has not come: {}", String::from_utf8_lossy(&bytes));
            bytes.extend(&buffer[..read]);
        }
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        // Where a second request was understood, a second answer follows.
        if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
            answer.body.truncate(length);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.head.lines().filter_map(|line| line.split_once(": "));
        values.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The problem that it holds; panics when it is none that keeps the rules.
    pub(crate) fn problem(&self, what: &str) -> Problem {
        assert_eq!(self.header("content-type"), Some(PROBLEM_MEDIA_TYPE), "{what}: {self:?}");
        let problem: Problem =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{what}: {error}: {self:?}"));
        assert_eq!(problem.status, self.status, "{what}: {self:?}");
        assert!(problem.detail.len() > 10, "{what}: the detail helps nobody: {self:?}");
        problem
    }
}
