//! Who takes part, and how one of them fares in one world.

use std::time::Duration;

use haul_core::{Engine, Policy};

use crate::naive::{Naive, Pieces, Settings};
use crate::nature::Nature;
use crate::world::{Tally, World};

/// A naive scheduler that needs this many times the ideal is called stuck.
const NAIVE_CUT_OFF: f64 = 20.0;
/// The engine gets more, so that the table can tell slow from stuck.
const ENGINE_CUT_OFF: f64 = 200.0;

#[derive(Clone, Debug)]
pub(crate) enum Contestant {
    Engine(Box<Policy>),
    Naive(Settings),
}

impl Contestant {
    pub(crate) fn run(&self, nature: &Nature, trace: bool) -> Tally {
        match self {
            Self::Engine(policy) => {
                let most = policy.connections_per_host.max(nature.connections);
                let policy = Policy { connections_per_host: most, ..(**policy).clone() };
                let engine = Engine::new(policy, nature.seed);
                World::new(nature, engine, trace).run(nature.cut_off(ENGINE_CUT_OFF))
            }
            Self::Naive(settings) => {
                let naive = Naive::new(*settings, nature.connections);
                World::new(nature, naive, trace).run(nature.cut_off(NAIVE_CUT_OFF))
            }
        }
    }
}

pub(crate) fn engine() -> Contestant {
    Contestant::Engine(Box::default())
}

/// The naive ones.
pub(crate) fn naives() -> Vec<(&'static str, Contestant)> {
    let chunks = Settings { pieces: Pieces::Chunks, floor: None, waived_after: 0 };
    let floor = Settings { floor: Some(300e3), waived_after: u32::MAX, ..chunks };
    vec![
        ("chunks, floor", Contestant::Naive(floor)),
        ("chunks, floor waived after 3", Contestant::Naive(Settings { waived_after: 3, ..floor })),
        ("chunks", Contestant::Naive(chunks)),
        ("fixed splits", Contestant::Naive(Settings { pieces: Pieces::Equal, ..chunks })),
    ]
}

/// The engine, with one rule turned off in each.
pub(crate) fn ablations() -> Vec<(&'static str, Contestant)> {
    let without = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        Contestant::Engine(Box::new(policy))
    };
    vec![
        ("without stealing", without(|policy| policy.steals = false)),
        ("without racing", without(|policy| policy.races = false)),
        ("without the speed floor", without(|policy| policy.speed_floor = 0)),
        ("with a floor for all speeds", without(|policy| policy.speed_floor = u64::MAX)),
        ("without trials", without(|policy| policy.trial_after = NEVER)),
        ("without overdue requests", without(|policy| policy.overdue_after = NEVER)),
        ("without the ramp", without(|policy| policy.adaptive = false)),
    ]
}

const NEVER: Duration = Duration::MAX;
