//! Sockets that the service manager has opened before this process was there (`sd_listen_fds(3)`).
//!
//! They stand in the place of what the settings `listen` and `socket` say: each kind of which there is one replaces its
//! setting. The service manager has made them, so their permissions are its business, and they are not removed at the end.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// Sockets to serve the API on that are there already.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
}

impl Inherited {
    /// Takes the sockets that were passed to this process. Only the first call finds any.
    ///
    /// Changes the environment, so it is to be called before there are threads.
    ///
    /// # Errors
    ///
    /// When one of them is neither a TCP nor a Unix stream socket.
    pub fn take() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            // A socket of another kind stays where it is, and is tried as the next kind.
            if let Ok(Some(socket)) = passed.take_tcp_listener(index) {
                inherited.tcp.push(socket);
            } else if let Some(socket) = passed.take_unix_listener(index)? {
                inherited.unix.push(socket);
            }
        }
        Ok(inherited)
    }

    /// The TCP sockets and the Unix sockets, for the runtime that this is called in.
    pub(crate) fn into_listeners(self) -> io::Result<(Vec<tokio::net::TcpListener>, Vec<tokio::net::UnixListener>)> {
        let tcp = self.tcp.into_iter().map(|socket| {
            socket.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(socket)
        });
        let unix = self.unix.into_iter().map(|socket| {
            socket.set_nonblocking(true)?;
            tokio::net::UnixListener::from_std(socket)
        });
        Ok((tcp.collect::<io::Result<_>>()?, unix.collect::<io::Result<_>>()?))
    }
}
