//! Where a schedule stands, and how changes of its script change that.

use super::Cron;
use crate::store::clock::Millis;

/// Where a schedule stands.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub cron: Cron,
    /// Whether its script can be called.
    pub enabled: bool,
    pub paused: bool,
    /// What becomes of the ticks up to then is decided.
    pub settled_to: Millis,
    /// The tick after that. None: it rests.
    pub next_at: Option<Millis>,
}

impl State {
    /// Of a schedule that is new, or was changed: it begins from now, unless it
    /// names the same times as before and was under way. Its author's last word
    /// on whether it is paused stands until they change it.
    pub fn following(before: Option<State>, cron: Cron, enabled: bool, now: Millis) -> State {
        let (paused, settled_to) = match &before {
            None => (cron.paused, now),
            Some(before) => {
                let paused = if before.cron.paused == cron.paused { before.paused } else { cron.paused };
                let same_times = before.cron.schedule == cron.schedule && before.cron.timezone == cron.timezone;
                let goes_on = same_times && before.is_under_way() && enabled && !paused;
                (paused, if goes_on { before.settled_to } else { now })
            }
        };
        State { cron, enabled, paused, settled_to, next_at: None }.reckoned()
    }

    /// Paused or not, by whoever says so.
    pub fn resting(self, paused: bool, now: Millis) -> State {
        if self.paused == paused {
            return self;
        }
        State { paused, settled_to: now, ..self }.reckoned()
    }

    /// After the ticks up to a time are settled.
    pub fn settled(self, to: Millis) -> State {
        State { settled_to: to, ..self }.reckoned()
    }

    fn is_under_way(&self) -> bool {
        self.enabled && !self.paused
    }

    fn reckoned(self) -> State {
        let next_at = match self.cron.timetable() {
            Ok(timetable) if self.is_under_way() => timetable.after(self.settled_to),
            Ok(_) => None,
            // It was checked: this host knows fewer zones than the one that did.
            Err(wrong) => {
                tracing::error!(schedule = self.cron.schedule, reason = wrong.message, "a schedule cannot be read");
                None
            }
        };
        State { next_at, ..self }
    }

    /// The next ticks, at most so many.
    pub fn next(&self, now: Millis, most: usize) -> Vec<Millis> {
        match self.cron.timetable() {
            Ok(timetable) if self.is_under_way() => timetable.ticks(now.max(self.settled_to)).take(most).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const HOUR: Millis = 3_600_000;

    fn hourly() -> Cron {
        Cron::new("0 * * * *")
    }

    /// Under way since two hours ago.
    fn under_way() -> State {
        State::following(None, hourly(), true, NOW - 2 * HOUR)
    }

    #[test]
    fn a_schedule_begins_when_it_is_there_and_may_run() {
        let next = hourly().timetable().unwrap().after(NOW);
        let other = Cron::new("30 * * * *");
        let zone = Cron { timezone: "Asia/Kolkata".into(), ..hourly() };
        let patient = Cron { catch_up_window: Some("1h".into()), ..hourly() };
        let asleep = Cron { paused: true, ..hourly() };
        let off = || State::following(Some(under_way()), hourly(), false, NOW - HOUR);
        let resting = || under_way().resting(true, NOW - HOUR);
        let set_asleep = || State::following(Some(under_way()), asleep.clone(), true, NOW - HOUR);
        for (what, before, cron, enabled, from, is_under_way) in [
            ("new", None, hourly(), true, NOW, true),
            ("new and disabled", None, hourly(), false, NOW, false),
            ("new and paused", None, asleep.clone(), true, NOW, false),
            ("the same", Some(under_way()), hourly(), true, NOW - 2 * HOUR, true),
            ("other times", Some(under_way()), other, true, NOW, true),
            ("another zone", Some(under_way()), zone, true, NOW, true),
            ("another policy", Some(under_way()), patient.clone(), true, NOW - 2 * HOUR, true),
            ("disabled", Some(under_way()), hourly(), false, NOW, false),
            ("enabled", Some(off()), hourly(), true, NOW, true),
            ("paused by its author", Some(under_way()), asleep.clone(), true, NOW, false),
            ("woken by its author", Some(set_asleep()), hourly(), true, NOW, true),
            ("paused by somebody, and then changed", Some(resting()), patient, true, NOW, false),
            (
                "woken by somebody, and the same",
                Some(set_asleep().resting(false, NOW - HOUR)),
                asleep,
                true,
                NOW - HOUR,
                true,
            ),
        ] {
            let state = State::following(before, cron, enabled, NOW);
            assert_eq!((state.settled_to, state.next_at.is_some()), (from, is_under_way), "{what}");
        }
        assert_eq!(State::following(None, hourly(), true, NOW).next_at, next);
    }

    #[test]
    fn who_pauses_twice_changes_nothing() {
        let resting = under_way().resting(true, NOW - HOUR);
        assert_eq!(resting.clone().resting(true, NOW), resting);
        assert_eq!(under_way().resting(false, NOW), under_way());
        let woken = resting.resting(false, NOW);
        assert_eq!((woken.settled_to, woken.paused), (NOW, false), "what it slept through is not missed");
    }

    #[test]
    fn the_next_ticks_are_those_to_come() {
        let next = under_way().next(NOW, 3);
        assert_eq!(next.len(), 3);
        assert!(next[0] > NOW && next.windows(2).all(|pair| pair[1] - pair[0] == HOUR));
        // A clock that was set back shows none that are settled.
        let ahead = under_way().settled(NOW + 10 * HOUR);
        assert!(ahead.next(NOW, 1)[0] > NOW + 10 * HOUR);
        assert!(under_way().resting(true, NOW).next(NOW, 3).is_empty());
    }
}
