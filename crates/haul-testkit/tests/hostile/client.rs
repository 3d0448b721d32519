//! A client that shows what came over the wire, and how it ended.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use haul_testkit::Server;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    AsDeclared,
    Fin,
    Reset,
    Silence,
}

impl Client {
    /// Connects. Silence is not expected, so it is waited out for long.
    pub(crate) fn to(server: &Server) -> Self {
        Self::waiting(server, Duration::from_secs(10))
    }

    /// Connects to hear nothing.
    pub(crate) fn expecting_silence(server: &Server) -> Self {
        Self::waiting(server, Duration::from_millis(400))
    }

    fn waiting(server: &Server, patience: Duration) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
        let set = stream.set_read_timeout(Some(patience));
        set.expect("it is not zero");
        Self { stream, inbox: Vec::new() }
    }

    /// Sends a request and reads the answer.
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers);
        self.answer(false)
    }

    pub(crate) fn range(&mut self, path: &str, range: &str) -> Answer {
        self.get(path, &format!("Range: bytes={range}\r\n"))
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
        self.stream.write_all(head.as_bytes()).expect("the server reads");
    }

    /// Reads an answer up to where it says it ends.
    pub(crate) fn answer(&mut self, head_only: bool) -> Answer {
        let mut answer = match self.head() {
            Ok(answer) => answer,
            Err(end) => return Answer::none(end),
        };
        let length = answer.header("content-length").map(|value| value.parse());
        answer.end = match length {
            _ if head_only => End::AsDeclared,
            _ if answer.header("transfer-encoding").is_some() => self.chunks(&mut answer.body),
            Some(Ok(length)) => self.exactly(length, &mut answer.body),
            Some(Err(_)) | None => self.rest(&mut answer.body),
        };
        answer
    }

    fn head(&mut self) -> Result<Answer, End> {
        let end = loop {
            if let Some(at) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.receive()?;
        };
        let head: Vec<u8> = self.inbox.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok(Answer {
            status: status.expect("a status line").parse().expect("a number"),
            headers: headers.map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect(),
            body: Vec::new(),
            end: End::AsDeclared,
        })
    }

    /// Reads `length` bytes of body.
    fn exactly(&mut self, length: usize, body: &mut Vec<u8>) -> End {
        while self.inbox.len() < length {
            if let Err(end) = self.receive() {
                body.append(&mut self.inbox);
                return end;
            }
        }
        let rest = self.inbox.split_off(length);
        body.append(&mut self.inbox);
        self.inbox = rest;
        End::AsDeclared
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> End {
        loop {
            let size_line = loop {
                if let Some(at) = self.inbox.windows(2).position(|two| two == b"\r\n") {
                    break self.inbox.drain(..at + 2).collect::<Vec<u8>>();
                }
                if let Err(end) = self.receive() {
                    return end;
                }
            };
            let size = String::from_utf8_lossy(&size_line[..size_line.len() - 2]).into_owned();
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            let mut chunk = Vec::new();
            let end = self.exactly(size + 2, &mut chunk);
            chunk.truncate(size);
            body.extend(chunk);
            if size == 0 || end != End::AsDeclared {
                return end;
            }
        }
    }

    /// Reads whatever else comes, until it ends.
    pub(crate) fn rest(&mut self, body: &mut Vec<u8>) -> End {
        loop {
            if let Err(end) = self.receive() {
                body.append(&mut self.inbox);
                return end;
            }
        }
    }

    /// Reads an answer and forgets it; says which length was declared, and how many bytes came.
    pub(crate) fn discard(&mut self) -> (usize, usize) {
        let head = self.head().expect("there is an answer");
        let length = head.header("content-length").expect("there is a length");
        let length = length.parse().expect("it is a number");
        let (mut got, mut block) = (self.inbox.len(), vec![0; 256 * 1024]);
        self.inbox.clear();
        while got < length {
            match self.stream.read(&mut block) {
                Ok(read) if read > 0 => got += read,
                Ok(_) | Err(_) => break,
            }
        }
        (length, got)
    }

    /// Reads and forgets for so long; says how many bytes came.
    pub(crate) fn read_for(&mut self, time: Duration) -> u64 {
        let (started, mut block) = (Instant::now(), vec![0; 256 * 1024]);
        let mut got = 0;
        while started.elapsed() < time {
            match self.stream.read(&mut block) {
                Ok(read) if read > 0 => got += read,
                Ok(_) | Err(_) => break,
            }
        }
        u64::try_from(got).expect("it is not negative")
    }

    fn receive(&mut self) -> Result<(), End> {
        let mut block = [0; 64 * 1024];
        match self.stream.read(&mut block) {
            Ok(0) => Err(End::Fin),
            Ok(read) => {
                self.inbox.extend_from_slice(&block[..read]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(End::Silence),
            Err(error) => panic!("reading failed in a new way: {error}"),
        }
    }
}

impl Answer {
    fn none(end: End) -> Self {
        Self { status: 0, headers: Vec::new(), body: Vec::new(), end }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_whole(&self, status: u16) -> bool {
        self.status == status && self.end == End::AsDeclared
    }
}
