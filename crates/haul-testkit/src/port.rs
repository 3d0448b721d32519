//! A port that is kept.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that is not given to anybody else for as long as this lives.
///
/// It does not listen, so clients are refused until somebody does: a process of the same user that binds the port with
/// `SO_REUSEPORT`.
#[derive(Debug)]
pub struct Port(TcpSocket);

impl Port {
    /// A free port.
    ///
    /// # Errors
    ///
    /// When the machine has no socket or no port left.
    pub fn free() -> io::Result<Self> {
        bound(0).map(Self)
    }

    /// Its number.
    ///
    /// # Errors
    ///
    /// None is known for a socket that is bound.
    pub fn number(&self) -> io::Result<u16> {
        self.0.local_addr().map(|address| address.port())
    }

    /// Another socket at this port, which may listen.
    pub(crate) fn share(&self) -> io::Result<TcpSocket> {
        bound(self.number()?)
    }
}

fn bound(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}
