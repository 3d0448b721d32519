//! Daily time windows: which limit holds at a time of the week, and when it changes.
//!
//! The week is a ring of minutes in local time. Which minute it is, in which zone, is the caller's to know; so is the
//! time between two looks, because clocks jump.

/// The days of a week, as people count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    /// All days, from Monday on.
    pub const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];
}

/// A minute of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeekMinute(u32);

impl WeekMinute {
    /// The minute that is `minute_of_day` minutes after this day began.
    #[must_use]
    pub const fn new(day: Day, minute_of_day: u16) -> Self {
        Self((day as u32 * DAY + minute_of_day as u32) % WEEK)
    }

    const fn after(self, minutes: u32) -> Self {
        Self((self.0 + minutes) % WEEK)
    }

    /// How many minutes lie between `earlier` and this one, going round the week if need be.
    const fn since(self, earlier: Self) -> u32 {
        (self.0 + WEEK - earlier.0) % WEEK
    }
}

/// A time of the day, on some days, in which another limit holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins.
    pub days: Vec<Day>,
    /// When it begins, in minutes of the day.
    pub from: u16,
    /// When it ends; at or before `from` it ends on the next day.
    pub to: u16,
    /// The limit that holds meanwhile; `None` means none.
    pub limit: Option<u64>,
}

impl Window {
    fn minutes(&self) -> u32 {
        match u32::from(self.to).checked_sub(u32::from(self.from)) {
            None | Some(0) => u32::from(self.to) + DAY - u32::from(self.from),
            Some(minutes) => minutes,
        }
    }

    fn starts(&self) -> impl Iterator<Item = WeekMinute> {
        self.days.iter().map(|day| WeekMinute::new(*day, self.from))
    }

    fn holds_at(&self, at: WeekMinute) -> bool {
        self.starts().any(|start| at.since(start) < self.minutes())
    }
}

/// The limit at a time of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The limit; `None` means none.
    pub limit: Option<u64>,
    /// In how many minutes, counted from the beginning of the minute that was asked for, it is another one. `None` where
    /// it never is.
    pub changes_in: Option<u32>,
}

/// The limit in force: that of the first window that holds, else the plain one.
#[must_use]
pub fn in_force(plain: Option<u64>, windows: &[Window], at: WeekMinute) -> InForce {
    let limit_at = |at| windows.iter().find(|window| window.holds_at(at)).map_or(plain, |window| window.limit);
    let limit = limit_at(at);
    let edges = windows.iter().flat_map(|window| {
        window.starts().flat_map(|start| [start.since(at), start.after(window.minutes()).since(at)])
    });
    let changes_in = edges.filter(|minutes| limit_at(at.after(*minutes)) != limit).min();
    InForce { limit, changes_in }
}

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

#[cfg(test)]
mod tests {
    use super::Day::*;
    use super::*;

    const PLAIN: Option<u64> = Some(9000);

    fn window(days: &[Day], from: u16, to: u16, limit: u64) -> Window {
        Window { days: days.to_vec(), from, to, limit: Some(limit) }
    }

    fn at(windows: &[Window], day: Day, hour: u16, minute: u16) -> (Option<u64>, Option<u32>) {
        let in_force = in_force(PLAIN, windows, WeekMinute::new(day, hour * 60 + minute));
        (in_force.limit, in_force.changes_in)
    }

    #[test]
    fn without_windows_the_plain_limit_holds_for_ever() {
        assert_eq!(at(&[], Monday, 12, 0), (PLAIN, None));
    }

    #[test]
    fn a_window_holds_from_its_first_minute_to_before_its_last() {
        let windows = [window(&Day::ALL, 8 * 60, 18 * 60, 500)];
        assert_eq!(at(&windows, Monday, 7, 59), (PLAIN, Some(1)));
        assert_eq!(at(&windows, Monday, 8, 0), (Some(500), Some(600)));
        assert_eq!(at(&windows, Sunday, 17, 59), (Some(500), Some(1)));
        assert_eq!(at(&windows, Sunday, 18, 0), (PLAIN, Some(14 * 60)));
    }

    #[test]
    fn over_midnight_the_day_is_that_of_the_beginning() {
        let windows = [window(&[Friday, Sunday], 22 * 60, 6 * 60, 500)];
        assert_eq!(at(&windows, Friday, 5, 0), (PLAIN, Some(17 * 60)));
        assert_eq!(at(&windows, Friday, 23, 0), (Some(500), Some(7 * 60)));
        assert_eq!(at(&windows, Saturday, 5, 59), (Some(500), Some(1)));
        assert_eq!(at(&windows, Saturday, 23, 0), (PLAIN, Some(23 * 60)));
        assert_eq!(at(&windows, Monday, 5, 0), (Some(500), Some(60)), "round the end of the week");
    }

    #[test]
    fn the_first_window_that_holds_counts() {
        let windows = [window(&[Monday], 12 * 60, 13 * 60, 1), window(&[Monday], 8 * 60, 18 * 60, 2)];
        assert_eq!(at(&windows, Monday, 11, 0), (Some(2), Some(60)));
        assert_eq!(at(&windows, Monday, 12, 30), (Some(1), Some(30)));
        assert_eq!(at(&windows, Monday, 13, 0), (Some(2), Some(5 * 60)));
        let windows = [windows[1].clone(), windows[0].clone()];
        assert_eq!(at(&windows, Monday, 12, 30), (Some(2), Some(5 * 60 + 30)), "the inner one never counts");
    }

    #[test]
    fn a_window_may_lift_the_limit() {
        let windows = [Window { days: vec![Saturday], from: 0, to: 1440, limit: None }];
        assert_eq!(at(&windows, Saturday, 0, 0), (None, Some(1440)));
        assert_eq!(at(&windows, Sunday, 0, 0), (PLAIN, Some(6 * 1440)));
    }

    #[test]
    fn edges_that_change_nothing_are_passed_over() {
        let whole_days = [window(&Day::ALL, 0, 1440, 500)];
        assert_eq!(at(&whole_days, Tuesday, 3, 0), (Some(500), None));
        let adjoining = [window(&[Monday], 8 * 60, 12 * 60, 500), window(&[Monday], 12 * 60, 18 * 60, 500)];
        assert_eq!(at(&adjoining, Monday, 9, 0), (Some(500), Some(9 * 60)));
    }

    #[test]
    fn the_same_beginning_and_end_are_a_whole_day() {
        let windows = [window(&[Monday], 480, 480, 500)];
        assert_eq!(at(&windows, Monday, 8, 0), (Some(500), Some(1440)));
        assert_eq!(at(&windows, Tuesday, 7, 59), (Some(500), Some(1)));
    }

    #[test]
    fn what_is_said_of_the_next_change_is_true_for_every_minute_of_the_week() {
        let windows = [
            window(&[Monday, Wednesday], 23 * 60 + 30, 15, 1),
            window(&Day::ALL, 8 * 60, 18 * 60, 2),
            window(&[Sunday], 17 * 60, 9 * 60, 3),
        ];
        let limits: Vec<_> = (0..WEEK).map(|m| in_force(PLAIN, &windows, WeekMinute(m)).limit).collect();
        for minute in 0..WEEK {
            let said = in_force(PLAIN, &windows, WeekMinute(minute)).changes_in.expect("it changes every day");
            let same = (0..said).all(|n| limits[((minute + n) % WEEK) as usize] == limits[minute as usize]);
            let other = limits[((minute + said) % WEEK) as usize] != limits[minute as usize];
            assert!(same && other, "minute {minute}: {said}");
        }
    }
}
