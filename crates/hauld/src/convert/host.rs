//! Hosts: between the engine's faults, rows, and what goes over the wire.

use haul_api::{Host, HostConnections};
use haul_core::{Fault, FaultKind};
use haul_store::HostFault;

use super::{now_ms, timestamp};
use crate::driver::HostView;

/// The kinds of fault that a host can be blamed for, besides statuses.
const KINDS: [FaultKind; 4] = [FaultKind::Dns, FaultKind::Connect, FaultKind::NoAnswer, FaultKind::Reset];

/// A host as a client sees it.
pub(crate) fn host(view: &HostView) -> Host {
    let row = &view.row;
    Host {
        host: row.name.clone(),
        connections: HostConnections {
            active: view.active,
            max: view.max,
            learned_cap: row.learned_cap.map(|(cap, _)| cap),
            learned_from: row.refusals,
            holds_until: row.learned_cap.map(|(_, until_ms)| timestamp(until_ms)),
        },
        useful_connections: row.useful_connections,
        bytes_per_second: row.bytes_per_second,
        answer_time_ms: row.answer_time_ms,
        blocked_until: row.blocked_until_ms.filter(|until_ms| *until_ms > now_ms()).map(timestamp),
        last_fault: row.fault.as_ref().map(|fault| haul_api::HostFault {
            code: fault.code.clone(),
            message: fault.message.clone(),
            at: timestamp(fault.at_ms),
        }),
        bandwidth_limit: row.bandwidth_limit.unwrap_or(0),
    }
}

/// A fault as it is stored.
pub(crate) fn host_fault(fault: &Fault, at_ms: i64) -> HostFault {
    HostFault { code: fault.kind.code().to_owned(), status: status(fault.kind), message: fault.to_string(), at_ms }
}

/// A stored fault as the engine knows it; `None` for one that is no fault of a host.
pub(crate) fn core_fault(fault: &HostFault) -> Option<Fault> {
    let of_code = || KINDS.into_iter().find(|kind| kind.code() == fault.code);
    let kind = fault.status.map(FaultKind::Status).or_else(of_code)?;
    Some(Fault::new(kind, fault.message.clone()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other kind can ever hold a status")]
pub(super) fn status(kind: FaultKind) -> Option<u16> {
    match kind {
        FaultKind::Status(status) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_fault_comes_back_as_it_was() {
        for kind in KINDS.into_iter().chain([401, 403, 407, 429, 503].map(FaultKind::Status)) {
            let fault = Fault::new(kind, "it went wrong");
            assert_eq!(core_fault(&host_fault(&fault, 7)), Some(fault));
        }
    }

    #[test]
    fn a_code_of_another_release_is_no_fault() {
        let fault = HostFault { code: "teapot".to_owned(), status: None, message: "short".to_owned(), at_ms: 7 };
        assert_eq!(core_fault(&fault), None);
    }
}
