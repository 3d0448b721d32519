//! What the world did to a transfer, and which treatment it calls for.

use std::fmt;
use std::time::Duration;

use crate::WaitingFor;

/// One failed attempt: what happened, in a form to decide on and a form to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// How long the server asked us to stay away.
    pub retry_after: Option<Duration>,
    /// One fragment for people, free of secrets and of control characters.
    pub detail: String,
}

impl Fault {
    /// A fault without a server's wish for a pause.
    #[must_use]
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, retry_after: None, detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// What went wrong, as far as a decision may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The host's name could not be resolved.
    Dns,
    /// No connection came about: refused, unreachable, or not in time.
    Connect,
    /// This machine has no way to any network.
    Offline,
    /// The server could not prove who it is.
    Tls,
    /// Connected, but no answer came in time.
    NoAnswer,
    /// The answer began and then fell silent.
    Stall,
    /// The connection broke.
    Reset,
    /// The body ended before its declared end.
    Truncated,
    /// The server answered with this status, which carries no body for us.
    Status(u16),
    /// A ranged request was answered with the whole of the same file.
    RangesRefused,
    /// The answer describes another version of the file.
    SourceChanged,
    /// The answer has another validator than those before, but the file's length.
    OtherValidator,
    /// The bytes that are sent are not those that are there.
    BytesDiffer,
    /// Something between us and the server answered in its place.
    Interference,
    /// A 206 that does not carry the range it was asked for.
    RangeMismatch,
    /// The answer contradicts itself or the protocol.
    MalformedResponse,
    /// The body is coded although no coding was accepted.
    UnexpectedEncoding,
    /// More hops than we follow, or a circle.
    TooManyRedirects,
    /// A redirect to something that is not HTTP.
    RedirectScheme,
    /// A redirect from HTTPS to HTTP.
    RedirectDowngrade,
    /// The way leads to an address that this job may not reach.
    TargetAddressForbidden,
    /// The file does not have the size or the digest that the user named.
    ChecksumMismatch,
    /// The file that holds the checksum cannot be had, or does not say it.
    ChecksumUnavailable,
    /// The file system is full or the quota used up.
    DiskFull,
    /// Reading or writing the part file failed.
    DiskIo,
    /// The file system cannot hold a file of this size.
    TooLarge,
    /// The volume with the target directory is not mounted, or not there.
    TargetUnmounted,
    /// The target directory cannot be written.
    TargetNotWritable,
    /// The final name is taken and the job must not rename or replace.
    TargetExists,
    /// This process ran out of descriptors, ports or buffers.
    Local,
    /// A defect of ours, contained.
    Internal,
    /// The process has ended again and again while it worked on this job.
    Quarantined,
    /// The request may not be made once more, or at another place, without somebody who says so.
    NotRepeatable,
}

/// How a fault is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing that waiting could mend: the job fails at once.
    Permanent,
    /// Likely to pass: the chunk is tried again after a backoff.
    Transient,
    /// The server has enough of us: fewer connections, or the whole host waits.
    Busy,
    /// The URL no longer opens the door; permanent before the first success.
    Link,
    /// The server lies about ranges or about its answer: a few tries, then one connection.
    Protocol,
    /// Same as [`Class::Protocol`], but honest: it just does not do ranges.
    RangesRefused,
    /// All bytes so far belong to another version.
    SourceChanged,
    /// They may, or one of many servers names the same version otherwise: bytes have to be compared.
    Doubted,
    /// The network is gone; nobody is charged.
    Network,
    /// The disk must have space first; nobody is charged.
    Disk,
    /// The volume must be back first; nobody is charged.
    Volume,
    /// Our own limits; nobody is charged.
    Local,
}

impl FaultKind {
    /// How a fault of this kind is treated (FAILURES.md section 2).
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Dns
            | Self::Connect
            | Self::NoAnswer
            | Self::Stall
            | Self::Reset
            | Self::Truncated
            | Self::Interference
            | Self::Internal => Class::Transient,
            Self::Status(status) => class_of_status(status),
            Self::RangesRefused => Class::RangesRefused,
            Self::RangeMismatch | Self::MalformedResponse => Class::Protocol,
            Self::SourceChanged | Self::BytesDiffer => Class::SourceChanged,
            Self::OtherValidator => Class::Doubted,
            Self::Offline => Class::Network,
            Self::DiskFull => Class::Disk,
            Self::TargetUnmounted => Class::Volume,
            Self::Local => Class::Local,
            Self::Tls
            | Self::UnexpectedEncoding
            | Self::TooManyRedirects
            | Self::RedirectScheme
            | Self::RedirectDowngrade
            | Self::TargetAddressForbidden
            | Self::ChecksumMismatch
            | Self::ChecksumUnavailable
            | Self::DiskIo
            | Self::TooLarge
            | Self::TargetNotWritable
            | Self::TargetExists
            | Self::Quarantined
            | Self::NotRepeatable => Class::Permanent,
        }
    }

    /// Tells whether the fault, where no answer has begun yet, says something about the host's willingness to take one
    /// more connection.
    #[must_use]
    pub const fn is_before_answer(self) -> bool {
        matches!(self, Self::Dns | Self::Connect | Self::NoAnswer | Self::Reset)
    }

    /// Tells whether a permanent fault is one of the server that answered, so that another server may do better.
    #[must_use]
    pub const fn is_the_servers(self) -> bool {
        matches!(
            self,
            Self::Tls
                | Self::Status(_)
                | Self::UnexpectedEncoding
                | Self::TooManyRedirects
                | Self::RedirectScheme
                | Self::RedirectDowngrade
                | Self::TargetAddressForbidden
        )
    }

    /// What a job has to wait for after such a fault, where that is the target's disk.
    #[must_use]
    pub const fn awaits_disk(self) -> Option<WaitingFor> {
        match self.class() {
            Class::Disk => Some(WaitingFor::Disk),
            Class::Volume => Some(WaitingFor::Volume),
            Class::Permanent
            | Class::Transient
            | Class::Busy
            | Class::Link
            | Class::Protocol
            | Class::RangesRefused
            | Class::SourceChanged
            | Class::Doubted
            | Class::Network
            | Class::Local => None,
        }
    }

    /// The stable code for programs, in kebab-case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Offline => "offline",
            Self::Tls => "tls-failure",
            Self::NoAnswer => "no-answer",
            Self::Stall => "stall",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Status(401) => "auth-required",
            Self::Status(407) => "proxy-auth-required",
            Self::Status(_) => "http-status",
            Self::RangesRefused => "ranges-refused",
            Self::SourceChanged => "source-changed",
            Self::OtherValidator => "other-validator",
            Self::BytesDiffer => "bytes-differ",
            Self::Interference => "interference",
            Self::RangeMismatch => "range-mismatch",
            Self::MalformedResponse => "malformed-response",
            Self::UnexpectedEncoding => "unexpected-encoding",
            Self::TooManyRedirects => "too-many-redirects",
            Self::RedirectScheme => "redirect-scheme",
            Self::RedirectDowngrade => "redirect-downgrade",
            Self::TargetAddressForbidden => "target-address-forbidden",
            Self::ChecksumMismatch => "checksum-mismatch",
            Self::ChecksumUnavailable => "checksum-unavailable",
            Self::DiskFull => "disk-full",
            Self::DiskIo => "io-error",
            Self::TooLarge => "too-large",
            Self::TargetUnmounted => "target-unmounted",
            Self::TargetNotWritable => "target-not-writable",
            Self::TargetExists => "target-exists",
            Self::Local => "local-resources",
            Self::Internal => "internal",
            Self::Quarantined => "quarantined",
            Self::NotRepeatable => "not-repeatable",
        }
    }
}

const fn class_of_status(status: u16) -> Class {
    match status {
        401 | 403 | 404 | 410 => Class::Link,
        429 | 503 => Class::Busy,
        408 | 425 | 500 | 502 | 504 | 509 | 511 | 520..=599 => Class::Transient,
        // Conditional requests gone wrong: RFC 9110 section 13.2 leaves them to the client to repeat.
        304 | 412 => Class::Protocol,
        // RFC 9110 section 15.5.17: the file is shorter than the range we asked for.
        416 => Class::SourceChanged,
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_treated_as_their_meaning_demands() {
        for (status, class) in [
            (400, Class::Permanent),
            (401, Class::Link),
            (404, Class::Link),
            (405, Class::Permanent),
            (408, Class::Transient),
            (416, Class::SourceChanged),
            (429, Class::Busy),
            (451, Class::Permanent),
            (500, Class::Transient),
            (501, Class::Permanent),
            (503, Class::Busy),
            (522, Class::Transient),
        ] {
            assert_eq!(FaultKind::Status(status).class(), class, "status {status}");
        }
    }
}
