//! The way to the socket: every write is also noted in the log.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;

use tokio::net::{TcpSocket, TcpStream};

use crate::as_bytes;
use crate::log::Record;

/// The sending half of one answer.
#[derive(Debug)]
pub(crate) struct Outbox<'a> {
    stream: &'a TcpStream,
    record: Record,
}

/// What the bytes are, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Head, framing or surplus.
    Frame,
    /// Bytes of the body.
    Payload,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(stream: &'a TcpStream, record: Record) -> Self {
        Self { stream, record }
    }

    /// Notes status and first position, before anything is sent.
    pub(crate) fn announce(&self, status: u16, offset: u64) {
        self.record.change(|request| {
            request.status = status;
            request.offset = offset;
        });
    }

    /// Hands all of `bytes` to the socket; the `last` of them complete the answer.
    ///
    /// The log is locked during the write itself: whoever has received a byte finds it counted.
    pub(crate) async fn send(&self, mut bytes: &[u8], part: Part, last: bool) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            let wrote: io::Result<usize> = self.record.change(|request| {
                let wrote = self.stream.try_write(bytes)?;
                if part == Part::Payload {
                    request.sent += as_bytes(wrote);
                }
                request.complete |= last && wrote == bytes.len();
                Ok(wrote)
            });
            match wrote {
                Ok(wrote) => bytes = &bytes[wrote..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sets the size of the socket's send buffer.
    pub(crate) fn buffer(&self, bytes: u32) -> io::Result<()> {
        // Options belong to the socket, and a duplicate descriptor is the same socket.
        let duplicate = self.stream.as_fd().try_clone_to_owned()?;
        TcpSocket::from_std_stream(duplicate.into()).set_send_buffer_size(bytes)
    }
}
