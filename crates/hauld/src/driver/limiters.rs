//! The bandwidth limits that transfers share: of everything, of each label, of each host.
//!
//! One is made when it is set or a transfer needs it, and forgotten when it limits nothing and no transfer has it. A
//! transfer keeps those that it began with; whoever changes one of them reaches it.

use std::collections::{BTreeMap, HashMap};

use haul_transfer::Limiter;

/// See the module.
#[derive(Debug)]
pub(super) struct Limiters {
    all: Limiter,
    labels: Named,
    hosts: Named,
}

impl Limiters {
    pub(super) fn new() -> Self {
        Self { all: Limiter::new(None), labels: Named::default(), hosts: Named::default() }
    }

    /// What a transfer obeys besides its job's own limit. `hosts` are the one that is asked and, where redirects have
    /// led elsewhere, the one that answers.
    pub(super) fn of_transfer(&mut self, label: Option<&str>, hosts: [&str; 2]) -> Vec<Limiter> {
        let [asked, answers] = hosts;
        let mut limiters = vec![self.all.clone(), self.hosts.get(asked)];
        if answers != asked {
            limiters.push(self.hosts.get(answers));
        }
        limiters.extend(label.map(|label| self.labels.get(label)));
        limiters
    }

    /// The limit of everything that holds now.
    pub(super) fn rate(&self) -> Option<u64> {
        self.all.rate()
    }

    /// The limit of a label that holds now.
    pub(super) fn label_rate(&self, label: &str) -> Option<u64> {
        self.labels.0.get(label)?.rate()
    }

    pub(super) fn set_rate(&self, rate: Option<u64>) {
        self.all.set_rate(rate);
    }

    /// Sets the limits of these labels, and takes away those of all others.
    pub(super) fn set_label_rates(&mut self, rates: BTreeMap<&str, Option<u64>>) {
        let unnamed = self.labels.0.iter().filter(|(label, _)| !rates.contains_key(label.as_str()));
        unnamed.for_each(|(_, limiter)| limiter.set_rate(None));
        for (label, rate) in rates {
            self.labels.set(label, rate);
        }
    }

    /// Sets the limit of a host, given as `scheme://host:port` without a default port.
    pub(super) fn set_host_rate(&mut self, host: &str, rate: Option<u64>) {
        self.hosts.set(host, rate);
    }
}

/// Limiters by name.
#[derive(Debug, Default)]
struct Named(HashMap<String, Limiter>);

impl Named {
    fn get(&mut self, name: &str) -> Limiter {
        if let Some(limiter) = self.0.get(name) {
            return limiter.clone();
        }
        self.0.retain(|_, limiter| limiter.rate().is_some() || limiter.is_shared());
        self.0.entry(name.to_owned()).or_insert_with(|| Limiter::new(None)).clone()
    }

    fn set(&mut self, name: &str, rate: Option<u64>) {
        self.get(name).set_rate(rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "https://a.example";

    fn rates(limiters: &[Limiter]) -> Vec<Option<u64>> {
        limiters.iter().map(Limiter::rate).collect()
    }

    #[test]
    fn a_transfer_obeys_everything_its_hosts_and_its_label() {
        let mut limiters = Limiters::new();
        limiters.set_rate(Some(1));
        limiters.set_host_rate(HOST, Some(2));
        limiters.set_host_rate("http://cdn.example:81", Some(3));
        limiters.set_label_rates(BTreeMap::from([("iso", Some(4)), ("other", Some(5))]));
        assert_eq!(rates(&limiters.of_transfer(None, [HOST, HOST])), [Some(1), Some(2)]);
        let elsewhere = limiters.of_transfer(Some("iso"), [HOST, "http://cdn.example:81"]);
        assert_eq!(rates(&elsewhere), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(rates(&limiters.of_transfer(Some("new"), ["http://b", "http://b"])), [Some(1), None, None]);
    }

    #[test]
    fn a_change_reaches_transfers_that_have_begun() {
        let mut limiters = Limiters::new();
        let begun = limiters.of_transfer(Some("iso"), [HOST, HOST]);
        assert_eq!(rates(&begun), [None, None, None]);
        limiters.set_host_rate(HOST, Some(7));
        limiters.set_label_rates(BTreeMap::from([("iso", Some(8))]));
        assert_eq!(rates(&begun), [None, Some(7), Some(8)]);
        limiters.set_host_rate(HOST, None);
        limiters.set_label_rates(BTreeMap::new());
        assert_eq!(rates(&begun), [None, None, None]);
    }

    #[test]
    fn what_limits_nothing_and_nobody_is_forgotten() {
        let mut limiters = Limiters::new();
        let begun = limiters.of_transfer(Some("in use"), [HOST, HOST]);
        drop(limiters.of_transfer(Some("not in use"), ["http://b", "http://b"]));
        limiters.set_label_rates(BTreeMap::from([("limited", Some(8))]));
        limiters.of_transfer(Some("later"), ["http://c", "http://c"]);
        let mut labels: Vec<_> = limiters.labels.0.keys().map(String::as_str).collect();
        labels.sort_unstable();
        assert_eq!(labels, ["in use", "later", "limited"]);
        assert_eq!(limiters.hosts.0.len(), 2);
        drop(begun);
    }
}
