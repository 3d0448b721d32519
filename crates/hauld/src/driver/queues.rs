//! Labels as queues: how many jobs of one run at a time, and when.

use std::collections::BTreeMap;

use haul_core::QueueId;
use haul_core::messages::{Command, QueueRule, Tuning};
use haul_core::window::{self, WeekMinute};
use haul_store::Wish;

use super::Driver;
use crate::config::Label;

/// The rules of one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelRules {
    active_max: Option<usize>,
    /// Closed but for these windows.
    windows: Vec<window::Window>,
}

/// The queues of labels that have had rules since the start. A label keeps its queue.
#[derive(Debug, Default)]
pub(super) struct QueueIds(BTreeMap<String, QueueId>);

impl LabelRules {
    /// Those that the configuration has; `None` where it has none.
    pub(crate) fn of(label: &Label) -> Option<Self> {
        let rules = Self {
            active_max: (label.max_active_jobs > 0).then_some(label.max_active_jobs as usize),
            windows: label
                .windows
                .iter()
                .map(|open| window::Window {
                    days: open.days.iter().map(|day| window::Day::ALL[*day as usize]).collect(),
                    from: open.from.minutes(),
                    to: open.to.minutes(),
                    limit: None,
                })
                .collect(),
        };
        (rules != Self::default()).then_some(rules)
    }

    /// The rule at this time of the week, and in how many minutes it is another one.
    fn at(&self, minute: WeekMinute) -> (QueueRule, Option<u32>) {
        // A window lifts the limit of nothing that holds else.
        let plain = (!self.windows.is_empty()).then_some(0);
        let in_force = window::in_force(plain, &self.windows, minute);
        (QueueRule { active_max: self.active_max, is_closed: in_force.limit.is_some() }, in_force.changes_in)
    }
}

impl QueueIds {
    /// The queue of jobs with this label.
    pub(super) fn of(&self, label: Option<&str>) -> QueueId {
        label.and_then(|label| self.0.get(label)).copied().unwrap_or_default()
    }

    fn enter(&mut self, label: &str) -> QueueId {
        let next = QueueId(u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX));
        *self.0.entry(label.to_owned()).or_insert(next)
    }
}

impl Driver {
    /// Has the engine follow the rules of all labels as they are at this time of the week; tells in how many minutes they
    /// are others.
    pub(super) fn apply_queues(&mut self, minute: WeekMinute) -> Option<u32> {
        let rules = self.limits.queues.iter().map(|(label, rules)| (label, rules.at(minute)));
        let rules: Vec<_> = rules.map(|(label, at)| (self.queue_ids.enter(label), at)).collect();
        let changes_in = rules.iter().filter_map(|(_, (_, changes_in))| *changes_in).min();
        let rules: Vec<_> = rules.into_iter().map(|(id, (rule, _))| (id, rule)).collect();
        if rules != self.queue_rules {
            self.queue_rules.clone_from(&rules);
            self.command(Command::SetQueues(rules));
            // A label that had no rules had no queue.
            let tunings: Vec<_> = self.jobs.values().map(|running| (running.id(), self.tuning(running))).collect();
            for (id, tuning) in tunings {
                self.command(Command::Tune(id, tuning));
            }
        }
        changes_in
    }

    /// How much a job may use, with the queue that it is in.
    pub(super) fn tuning(&self, running: &super::Running) -> Tuning {
        Tuning { queue: self.queue_of(&running.row.wish), ..running.tuning() }
    }

    pub(super) fn queue_of(&self, wish: &Wish) -> QueueId {
        self.queue_ids.of(wish.label.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use haul_api::Day;
    use haul_core::window;

    use super::*;
    use crate::config::RunWindow;

    #[test]
    fn a_label_without_windows_is_always_open() {
        let monday = WeekMinute::new(window::Day::Monday, 0);
        let rules = LabelRules::of(&Label { max_active_jobs: 2, ..Label::default() }).expect("a rule");
        assert_eq!(rules.at(monday), (QueueRule { active_max: Some(2), is_closed: false }, None));
        assert_eq!(LabelRules::of(&Label::default()), None);
    }

    #[test]
    fn a_label_with_windows_is_open_within_them() {
        let time = |text: &str| text.parse().expect("a time");
        let window = RunWindow { from: time("22:00"), to: time("06:00"), days: vec![Day::Fri] };
        let rules = LabelRules::of(&Label { windows: vec![window], ..Label::default() }).expect("a rule");
        let at = |day, minutes| rules.at(WeekMinute::new(day, minutes));
        assert!(at(window::Day::Friday, 21 * 60 + 59).0.is_closed);
        assert_eq!(at(window::Day::Friday, 21 * 60 + 59).1, Some(1));
        assert!(!at(window::Day::Saturday, 0).0.is_closed);
        assert_eq!(at(window::Day::Saturday, 0).1, Some(6 * 60));
        assert!(at(window::Day::Saturday, 6 * 60).0.is_closed);
    }
}
