//! Which kind of fault an error is: of the transfer, and of the disk.

use std::error::Error;
use std::io;

use haul_core::{Fault, FaultKind};
use rustix::io::Errno;
use url::Url;

use crate::address::ForbiddenAddress;
use crate::request::host_of;
use crate::{Escaped, Masked, Network, Proxy, route};

/// How far the answer had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Looking up the name, connecting, proving who one is.
    Connect,
    /// Waiting for the head of the answer.
    Head,
    /// Reading its body.
    Body,
}

/// The fault that an error of a transfer is. The text of reqwest's own errors holds the URL with its query, so only
/// that of the innermost cause is shown.
pub(crate) fn transfer_fault(error: &reqwest::Error, phase: Phase, url: &Url) -> Fault {
    let phase = if error.is_connect() { Phase::Connect } else { phase };
    let mut kind = kind_of(error, phase);
    if kind == FaultKind::Connect && error.is_dns() {
        kind = FaultKind::Dns;
    }
    // A device that went down drops what is sent to it, and a name needs a network to be looked up.
    let may_be_ours = kind == FaultKind::Dns || (kind == FaultKind::Connect && error.is_timeout());
    if (may_be_ours || kind == FaultKind::Offline) && phase == Phase::Connect {
        // Of two addresses the one that this machine cannot reach at all may be the one that the error is about.
        let without = if kind == FaultKind::Offline { FaultKind::Connect } else { kind };
        kind = if route::has_any() { without } else { FaultKind::Offline };
    }
    let doing = match phase {
        Phase::Connect if kind == FaultKind::Offline => {
            format!("this machine has no network to reach {} by", Escaped(host_of(url).as_bytes()))
        }
        Phase::Connect => format!("cannot connect to {}", Escaped(host_of(url).as_bytes())),
        Phase::Head => format!("no answer from {}", Masked(url)),
        Phase::Body => format!("the answer from {} broke off", Masked(url)),
    };
    Fault::new(kind, format!("{doing}: {}", innermost(error)))
}

/// The same fault, or what it is where a request went another way than straight to its server.
pub(crate) fn of_the_way(fault: Fault, error: &(dyn Error + 'static), network: &Network) -> Fault {
    let is_unauthorized = |cause: &(dyn Error + 'static)| PROXY_REFUSALS.contains(&cause.to_string().as_str());
    if network.proxy != Proxy::None && causes(error).any(is_unauthorized) {
        return Fault::new(FaultKind::Status(407), "the proxy wants a user and a password, and not those it got");
    }
    let is_missing = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| errno(io) == Some(Errno::ADDRNOTAVAIL))
    };
    // Not that of a machine that has run out of ports (F-NET-15): nobody else has to wait for it.
    if let Some(address) = network.source_address
        && causes(error).any(is_missing)
    {
        let detail = format!("this machine does not have the `source_address` {address} at the moment");
        return Fault::new(FaultKind::Connect, detail);
    }
    fault
}

/// How hyper-util says that a proxy does not let us in. It keeps the types of these errors to itself.
const PROXY_REFUSALS: [&str; 4] = [
    "tunnel error: proxy authorization required",
    "SOCKS error: credentials not accepted",
    "SOCKS error: server does not support user/pass authentication",
    "SOCKS error: server implements authentication incorrectly",
];

/// The text of the last cause, which no URL is part of.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = causes(error).last().expect("an error is its own cause");
    Escaped(last.to_string().as_bytes()).to_string()
}

/// The fault that an error of the part file is; `doing` fits before a colon.
#[must_use]
pub fn disk_fault(error: &io::Error, doing: &str) -> Fault {
    let kind = match errno(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => FaultKind::DiskFull,
        Some(Errno::FBIG) => FaultKind::TooLarge,
        // ELOOP: a symbolic link beneath a root, which is not followed (F-DISK-12).
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP | Errno::NOTDIR) => FaultKind::TargetNotWritable,
        Some(Errno::MFILE | Errno::NFILE) => FaultKind::Local,
        // A server or a device that is gone takes its files with it; they may come back (F-DISK-16).
        Some(Errno::STALE | Errno::NODEV | Errno::NXIO | Errno::NOTCONN) => FaultKind::TargetUnmounted,
        _ => FaultKind::DiskIo,
    };
    Fault::new(kind, format!("{doing}: {error}"))
}

fn kind_of(error: &(dyn Error + 'static), phase: Phase) -> FaultKind {
    // The innermost special case knows best: TLS errors come wrapped in those of its reader.
    causes(error).filter_map(|cause| special_case(cause, phase)).last().unwrap_or(match phase {
        Phase::Connect => FaultKind::Connect,
        Phase::Head | Phase::Body => FaultKind::Reset,
    })
}

/// Each arm names the observation that taught it.
fn special_case(cause: &(dyn Error + 'static), phase: Phase) -> Option<FaultKind> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(kind_of_tls(tls, phase));
    }
    if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
        // Two lengths, headers that are none, more headers than hyper takes.
        if hyper.is_parse() || hyper.is_parse_too_large() {
            return Some(FaultKind::MalformedResponse);
        }
        // A FIN in the place of an answer, or in mid body.
        if hyper.is_incomplete_message() && phase == Phase::Body {
            return Some(FaultKind::Truncated);
        }
        return None;
    }
    if cause.is::<ForbiddenAddress>() {
        return Some(FaultKind::TargetAddressForbidden);
    }
    let io = cause.downcast_ref::<io::Error>()?;
    match (errno(io), io.kind()) {
        // Ours, not the server's (F-NET-15).
        (Some(Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM), _) => {
            Some(FaultKind::Local)
        }
        (Some(Errno::NETUNREACH | Errno::NETDOWN), _) if phase == Phase::Connect => Some(FaultKind::Offline),
        // A chunked body without its end; TLS without close_notify, which is no end either (F-NET-12).
        (_, io::ErrorKind::UnexpectedEof) if phase == Phase::Body => Some(FaultKind::Truncated),
        // TCP_USER_TIMEOUT: what we sent was not acknowledged.
        (_, io::ErrorKind::TimedOut) => Some(match phase {
            Phase::Connect => FaultKind::Connect,
            Phase::Head => FaultKind::NoAnswer,
            Phase::Body => FaultKind::Stall,
        }),
        // Chunked framing that is none.
        (None, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) if phase == Phase::Body => {
            Some(FaultKind::MalformedResponse)
        }
        _ => None,
    }
}

fn kind_of_tls(error: &rustls::Error, phase: Phase) -> FaultKind {
    // A server under load drops handshakes with these.
    let is_passing = matches!(
        error,
        rustls::Error::AlertReceived(
            rustls::AlertDescription::InternalError
                | rustls::AlertDescription::UserCanceled
                | rustls::AlertDescription::CloseNotify
        )
    );
    match phase {
        Phase::Connect if is_passing => FaultKind::Connect,
        Phase::Connect => FaultKind::Tls,
        // The peer has proved who it is; a record that does not decrypt is a broken line.
        Phase::Head | Phase::Body => FaultKind::Reset,
    }
}

/// The error and its causes. An `io::Error` with an inner error skips it in `source`, so that is put back.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
        Some(Some(inner)) => Some(inner as &(dyn Error + 'static)),
        Some(None) | None => error.source(),
    })
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer https://host/?canary")]
    struct Outer(#[source] io::Error);

    fn os(errno: Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn errors_of_a_transfer_are_classified() {
        use Phase::{Body, Connect, Head};
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let unknown_issuer = || tls(rustls::CertificateError::UnknownIssuer.into());
        let overloaded = || tls(rustls::Error::AlertReceived(rustls::AlertDescription::InternalError));
        let eof = || io::Error::from(io::ErrorKind::UnexpectedEof);
        for (error, phase, kind) in [
            (os(Errno::CONNREFUSED), Connect, FaultKind::Connect),
            (os(Errno::NETUNREACH), Connect, FaultKind::Offline),
            (os(Errno::HOSTUNREACH), Connect, FaultKind::Connect),
            (os(Errno::TIMEDOUT), Connect, FaultKind::Connect),
            (os(Errno::MFILE), Connect, FaultKind::Local),
            (os(Errno::ADDRNOTAVAIL), Connect, FaultKind::Local),
            (eof(), Connect, FaultKind::Connect),
            (unknown_issuer(), Connect, FaultKind::Tls),
            (overloaded(), Connect, FaultKind::Connect),
            (os(Errno::CONNRESET), Head, FaultKind::Reset),
            (os(Errno::TIMEDOUT), Head, FaultKind::NoAnswer),
            (eof(), Head, FaultKind::Reset),
            (os(Errno::CONNRESET), Body, FaultKind::Reset),
            (os(Errno::TIMEDOUT), Body, FaultKind::Stall),
            (eof(), Body, FaultKind::Truncated),
            (tls(rustls::Error::DecryptError), Body, FaultKind::Reset),
            (io::ErrorKind::InvalidData.into(), Body, FaultKind::MalformedResponse),
        ] {
            let shown = format!("{error} while {phase:?}");
            assert_eq!(kind_of(&Outer(error), phase), kind, "{shown}");
        }
    }

    #[test]
    fn only_the_innermost_text_is_shown() {
        let error = Outer(io::Error::other("two\nlines"));
        assert_eq!(innermost(&error), "two\\u{a}lines");
    }

    #[test]
    fn errors_of_the_disk_are_classified() {
        for (errno, kind) in [
            (Errno::NOSPC, FaultKind::DiskFull),
            (Errno::DQUOT, FaultKind::DiskFull),
            (Errno::FBIG, FaultKind::TooLarge),
            (Errno::ACCESS, FaultKind::TargetNotWritable),
            (Errno::ROFS, FaultKind::TargetNotWritable),
            (Errno::MFILE, FaultKind::Local),
            (Errno::IO, FaultKind::DiskIo),
            (Errno::STALE, FaultKind::TargetUnmounted),
        ] {
            assert_eq!(disk_fault(&os(errno), "cannot write").kind, kind, "{errno:?}");
        }
        let fault = disk_fault(&os(Errno::NOSPC), "cannot write `a`");
        assert!(fault.detail.starts_with("cannot write `a`: No space left"));
    }
}
