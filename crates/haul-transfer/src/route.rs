//! Whether this machine has a way to any network.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Tells whether there is a route that leads anywhere. Nothing is sent: connecting a UDP socket only looks the way up.
pub(crate) fn has_any() -> bool {
    let ways: [(SocketAddr, SocketAddr); 2] = [
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (SOMEBODY, DISCARD).into()),
        ((Ipv6Addr::UNSPECIFIED, 0).into(), (SOMEBODY_6, DISCARD).into()),
    ];
    ways.iter().any(|(own, there)| UdpSocket::bind(own).and_then(|socket| socket.connect(there)).is_ok())
}

/// Addresses for documentation (RFC 5737, RFC 3849), which are reached by the default route if by any.
const SOMEBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const SOMEBODY_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// RFC 863; any port would do.
const DISCARD: u16 = 9;
