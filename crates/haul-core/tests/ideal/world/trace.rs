//! What a trace says of connections, ends and effects.

use haul_core::messages::{Effect, End};

use crate::nature::Nature;

use super::worker::Wire;

pub(super) fn describe(nature: &Nature, wire: Option<Wire>) -> String {
    let Some(wire) = wire else { return "nothing".to_owned() };
    let factor = nature.full_rate(wire.like.factor, wire.place) / nature.rate;
    let life = if wire.like.life == u64::MAX {
        String::new()
    } else {
        format!(", {:?} after {}", wire.like.end, wire.like.life)
    };
    format!("connection {} ({factor:.3} of the rate{life})", wire.ordinal)
}

pub(super) fn describe_end(end: &End) -> String {
    match end {
        End::Fault(fault) => format!("{:?}", fault.kind),
        End::Finished | End::Stopped => format!("{end:?}"),
    }
}

pub(super) fn describe_effect(effect: &Effect) -> String {
    match effect {
        Effect::Fetch(fetch) => {
            let end = fetch.end.map_or_else(String::new, |end| end.to_string());
            format!("Fetch {:?} {:?} {}..{end}", fetch.worker, fetch.kind, fetch.from)
        }
        Effect::SetEnd { .. }
        | Effect::Stop { .. }
        | Effect::Reset(_)
        | Effect::Rewrite(_)
        | Effect::CheckDisk(_)
        | Effect::CompareSeam { .. }
        | Effect::HostChanged(_)
        | Effect::Seal(_)
        | Effect::Changed(_)
        | Effect::Released(_)
        | Effect::Ended(..)
        | Effect::Note(..) => format!("{effect:?}"),
    }
}
