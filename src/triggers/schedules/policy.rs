//! What becomes of ticks that are due.

use super::cron::{CatchUp, Overlap};
use crate::store::clock::Millis;

/// How late a tick may be noticed and be on time: hosts that restart, and a
/// database that is away for some seconds, are no gap.
const LATE: Millis = 60_000;
/// Runs of one schedule that wait for their turn.
pub const MOST_WAITING: usize = 100;

/// How a schedule wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    /// How long after its time a tick may be caught up, in milliseconds.
    pub window: Millis,
    /// How long after its time a run begins at most, in milliseconds.
    pub jitter: Millis,
}

/// What becomes of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs.
    Queued,
    /// It runs, long after its time.
    CaughtUp,
    /// It does not, for nobody was there.
    Missed(Reason),
    /// It does not, for something else does.
    Skipped(Reason),
}

/// Why a tick does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Missed ticks of this schedule are not caught up.
    NoCatchUp,
    /// Longer ago than what is caught up.
    Window,
    /// A later one runs in its place.
    Superseded,
    /// The run of a tick before is not done.
    Overlap,
    /// As many runs wait as may.
    Full,
    /// The tenant's quota of jobs is used up.
    Quota,
}

impl Fate {
    /// As the store and the API name it.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Queued => "queued",
            Fate::CaughtUp => "caught_up",
            Fate::Missed(_) => "missed",
            Fate::Skipped(_) => "skipped",
        }
    }

    pub fn reason(self) -> Option<Reason> {
        match self {
            Fate::Queued | Fate::CaughtUp => None,
            Fate::Missed(reason) | Fate::Skipped(reason) => Some(reason),
        }
    }

    pub fn runs(self) -> bool {
        self.reason().is_none()
    }
}

impl Reason {
    const ALL: [Reason; 6] =
        [Reason::NoCatchUp, Reason::Window, Reason::Superseded, Reason::Overlap, Reason::Full, Reason::Quota];

    /// As the store and the API name it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NoCatchUp => "no_catch_up",
            Reason::Window => "catch_up_window",
            Reason::Superseded => "superseded",
            Reason::Overlap => "overlap",
            Reason::Full => "too_many_waiting",
            Reason::Quota => "quota",
        }
    }

    pub fn named(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Reason::NoCatchUp => "No host was there, and missed ticks of this schedule are not caught up.",
            Reason::Window => "No host was there until it was too late to catch up.",
            Reason::Superseded => "No host was there, and a later tick ran in its place.",
            Reason::Overlap => "The run of a tick before it was not done.",
            Reason::Full => "Too many runs of ticks before it were waiting.",
            Reason::Quota => "The tenant's quota of jobs was used up.",
        }
    }
}

impl Policy {
    /// What becomes of ticks, from the earliest on, which are noticed now. So many
    /// runs of the schedule are not done.
    pub fn decide(&self, ticks: &[Millis], now: Millis, undone: usize) -> Vec<Fate> {
        let mut undone = undone;
        let mut fates: Vec<Fate> = Vec::with_capacity(ticks.len());
        for (index, tick) in ticks.iter().enumerate() {
            let age = now.saturating_sub(*tick);
            let is_last = index + 1 == ticks.len();
            let fate = match self.catch_up {
                _ if age <= LATE => Fate::Queued,
                CatchUp::None => Fate::Missed(Reason::NoCatchUp),
                CatchUp::Latest if !is_last => Fate::Missed(Reason::Superseded),
                _ if age > self.window => Fate::Missed(Reason::Window),
                CatchUp::Latest | CatchUp::All => Fate::CaughtUp,
            };
            let fate = if fate.runs() { self.beside(undone, fate) } else { fate };
            undone += usize::from(fate.runs());
            fates.push(fate);
        }
        fates
    }

    /// What becomes of a tick that could run, beside runs that are not done.
    fn beside(&self, undone: usize, fate: Fate) -> Fate {
        match (self.overlap, fate) {
            (Overlap::Allow, _) => fate,
            // They are to run all, and so wait for each other.
            (Overlap::Skip, Fate::CaughtUp) if self.catch_up == CatchUp::All && undone < MOST_WAITING => fate,
            (Overlap::Skip, _) if undone == 0 => fate,
            (Overlap::Skip, _) => Fate::Skipped(Reason::Overlap),
            (Overlap::Queue, _) if undone < MOST_WAITING => fate,
            (Overlap::Queue, _) => Fate::Skipped(Reason::Full),
        }
    }

    /// How long after its time a tick's run begins: the same wherever it is
    /// reckoned, and another for each schedule and tick.
    pub fn delay(&self, tenant: &str, script: &str, tick: Millis) -> Millis {
        if self.jitter == 0 {
            return 0;
        }
        let mut hasher = blake3::Hasher::new_derive_key("airlock schedule jitter v1");
        for part in [tenant, script] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let mut number = [0; 8];
        hasher.update(&tick.to_le_bytes()).finalize_xof().fill(&mut number);
        (u64::from_le_bytes(number) % (self.jitter as u64 + 1)) as Millis
    }
}

#[cfg(test)]
mod tests {
    use super::Fate::*;
    use super::*;

    const MINUTE: Millis = 60_000;
    const NOW: Millis = 1_000 * MINUTE;

    fn policy(overlap: Overlap, catch_up: CatchUp) -> Policy {
        Policy { overlap, catch_up, window: 60 * MINUTE, jitter: 0 }
    }

    /// Overlap, catch-up, runs not done, the ticks' ages in minutes, their fates.
    type Row = (Overlap, CatchUp, usize, &'static [Millis], &'static [Fate]);

    #[rustfmt::skip]
    const TABLE: &[Row] = &[
        // On time, and as late as a restart makes it.
        (Overlap::Skip, CatchUp::None, 0, &[0], &[Queued]),
        (Overlap::Skip, CatchUp::None, 0, &[1], &[Queued]),
        (Overlap::Skip, CatchUp::None, 0, &[2], &[Missed(Reason::NoCatchUp)]),
        (Overlap::Skip, CatchUp::None, 0, &[3, 2, 0], &[Missed(Reason::NoCatchUp), Missed(Reason::NoCatchUp), Queued]),
        // The last one.
        (Overlap::Skip, CatchUp::Latest, 0, &[2], &[CaughtUp]),
        (Overlap::Skip, CatchUp::Latest, 0, &[60], &[CaughtUp]),
        (Overlap::Skip, CatchUp::Latest, 0, &[61], &[Missed(Reason::Window)]),
        (Overlap::Skip, CatchUp::Latest, 0, &[90, 30, 2], &[Missed(Reason::Superseded), Missed(Reason::Superseded), CaughtUp]),
        (Overlap::Skip, CatchUp::Latest, 0, &[30, 0], &[Missed(Reason::Superseded), Queued]),
        (Overlap::Skip, CatchUp::Latest, 1, &[2], &[Skipped(Reason::Overlap)]),
        (Overlap::Queue, CatchUp::Latest, 1, &[2], &[CaughtUp]),
        // All within the window.
        (Overlap::Skip, CatchUp::All, 0, &[61, 60, 2], &[Missed(Reason::Window), CaughtUp, CaughtUp]),
        (Overlap::Skip, CatchUp::All, 0, &[3, 2, 0], &[CaughtUp, CaughtUp, Skipped(Reason::Overlap)]),
        (Overlap::Queue, CatchUp::All, 0, &[3, 2, 0], &[CaughtUp, CaughtUp, Queued]),
        (Overlap::Allow, CatchUp::All, 5, &[3, 2, 0], &[CaughtUp, CaughtUp, Queued]),
        (Overlap::Queue, CatchUp::All, MOST_WAITING - 1, &[3, 2, 0], &[CaughtUp, Skipped(Reason::Full), Skipped(Reason::Full)]),
        // What is not done stands in the way, or not.
        (Overlap::Skip, CatchUp::None, 1, &[0], &[Skipped(Reason::Overlap)]),
        (Overlap::Skip, CatchUp::None, 0, &[1, 0], &[Queued, Skipped(Reason::Overlap)]),
        (Overlap::Queue, CatchUp::None, 1, &[0], &[Queued]),
        (Overlap::Queue, CatchUp::None, MOST_WAITING, &[0], &[Skipped(Reason::Full)]),
        (Overlap::Allow, CatchUp::None, MOST_WAITING, &[1, 0], &[Queued, Queued]),
        // A clock that is set back meets ticks of the future.
        (Overlap::Skip, CatchUp::None, 0, &[-5], &[Queued]),
        (Overlap::Skip, CatchUp::All, 0, &[], &[]),
    ];

    #[test]
    fn each_tick_has_its_fate() {
        for (overlap, catch_up, undone, ages, fates) in TABLE {
            let ticks: Vec<Millis> = ages.iter().map(|age| NOW - age * MINUTE).collect();
            let decided = policy(*overlap, *catch_up).decide(&ticks, NOW, *undone);
            assert_eq!(decided, *fates, "{overlap:?} {catch_up:?} {undone} {ages:?}");
        }
    }

    #[test]
    fn all_that_was_missed_is_no_flood() {
        let ticks: Vec<Millis> = (1..=59).rev().map(|age| NOW - age * MINUTE).collect();
        let wide = Policy { window: Millis::MAX, ..policy(Overlap::Skip, CatchUp::All) };
        let many: Vec<Millis> = (2..=500).rev().map(|age| NOW - age * MINUTE).collect();
        for (ticks, runs) in [(ticks, 58), (many, MOST_WAITING)] {
            let fates = wide.decide(&ticks, NOW, 0);
            assert_eq!(fates.iter().filter(|fate| fate.runs()).count(), runs);
        }
    }

    #[test]
    fn jitter_is_spread_and_the_same_everywhere() {
        let none = policy(Overlap::Skip, CatchUp::None);
        assert_eq!(none.delay("acme", "a", NOW), 0);
        let policy = Policy { jitter: 1_000, ..none };
        let delays: Vec<Millis> = (0..1_000).map(|script| policy.delay("acme", &script.to_string(), NOW)).collect();
        let again: Vec<Millis> = (0..1_000).map(|script| policy.delay("acme", &script.to_string(), NOW)).collect();
        assert_eq!(delays, again);
        assert!(delays.iter().all(|delay| (0..=1_000).contains(delay)));
        for quarter in 0..4 {
            let within = |delay: &&Millis| (quarter * 250..(quarter + 1) * 250).contains(*delay);
            let count = delays.iter().filter(within).count();
            assert!((180..=320).contains(&count), "{quarter}: {count}");
        }
        assert_ne!(policy.delay("acme", "a", NOW), policy.delay("acme", "a", NOW + MINUTE));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.name()), Some(reason));
            assert!(reason.sentence().ends_with('.'));
        }
        assert_eq!(Reason::named("weather"), None);
    }
}
