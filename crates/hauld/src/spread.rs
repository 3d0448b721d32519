//! Work on many items that uses all cores.

use std::num::NonZero;
use std::thread;

/// A thread is not begun for fewer. A guess: they take some milliseconds.
const ITEMS_MIN: usize = 500;

/// Maps items on all cores, where there are many: `map` gets a run of them at a time. The results are in the order of the
/// runs. Blocks.
pub(crate) fn spread<T: Send, R: Send>(mut items: Vec<T>, map: impl Fn(Vec<T>) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let each = items.len().div_ceil(cores).max(ITEMS_MIN);
    if items.len() <= each {
        return vec![map(items)];
    }
    let mut runs = Vec::new();
    while items.len() > each {
        runs.push(items.split_off(items.len() - each));
    }
    runs.push(items);
    let map = &map;
    thread::scope(|scope| {
        let running: Vec<_> = runs.into_iter().rev().map(|run| scope.spawn(move || map(run))).collect();
        running.into_iter().map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_items_are_mapped_in_their_order() {
        for count in [0, 1, ITEMS_MIN, ITEMS_MIN + 1, 10 * ITEMS_MIN + 7] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(spread(items.clone(), |run| run).concat(), items);
        }
    }
}
