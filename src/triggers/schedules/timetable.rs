//! The times that a schedule names, in its time zone.
//!
//! Where clocks change, a schedule does what Vixie's cron does. One with a `*` for
//! the minute or the hour follows the time that passes. Any other names times of
//! day, and has each once a day: at the first moment after a gap where its time
//! falls into it, and at the first of two where its time comes twice. croner takes
//! only those with a single time for such; so they are looked up on a clock that
//! is never changed, and then put where that time is in the zone.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::store::clock::Millis;

/// Characters of a schedule, and of a time zone's name.
const TEXT: usize = 200;

/// A schedule in a time zone.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
    /// Whether it names times of day.
    is_fixed: bool,
}

/// What cannot be read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    Schedule,
    /// It is one, and names no time that ever comes.
    Never,
    Timezone,
}

impl Timetable {
    /// Reads five fields and the name of a zone in the IANA's database.
    pub fn new(schedule: &str, timezone: &str) -> Result<Timetable, Unreadable> {
        let zone = timezone.parse().map_err(|_| Unreadable::Timezone)?;
        if schedule.len() > TEXT || schedule.split_whitespace().count() != 5 {
            return Err(Unreadable::Schedule);
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(schedule).map_err(|_| Unreadable::Schedule)?;
        let is_fixed = !schedule.split_whitespace().take(2).any(|field| field.starts_with('*'));
        let timetable = Timetable { cron, zone, is_fixed };
        match timetable.after(0) {
            Some(_) => Ok(timetable),
            None => Err(Unreadable::Never),
        }
    }

    /// The first tick after a time.
    pub fn after(&self, time: Millis) -> Option<Millis> {
        // Ticks are whole seconds.
        let time: DateTime<Utc> = DateTime::from_timestamp(time.div_euclid(1000), 0)?;
        let local = time.with_timezone(&self.zone);
        if !self.is_fixed {
            let next = self.cron.find_next_occurrence(&local, false).ok()?;
            return Some(next.timestamp_millis());
        }
        let mut wall = local.naive_local().and_utc();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let tick = self.on_the_clock(wall.naive_utc())?;
            // Not where this is the second of two times.
            if tick > time {
                return Some(tick.timestamp_millis());
            }
        }
    }

    /// When the zone's clocks show a time first, or have passed it.
    fn on_the_clock(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        /// No zone's clocks have ever been set forward by more than a day.
        const LONGEST: i64 = 24 * 60;
        // Clocks are set by whole minutes.
        (0..=LONGEST).find_map(|minutes| {
            let wall = wall.checked_add_signed(TimeDelta::minutes(minutes))?;
            self.zone.from_local_datetime(&wall).earliest()
        })
    }

    /// The ticks after a time, as they come.
    pub fn ticks(&self, after: Millis) -> impl Iterator<Item = Millis> {
        std::iter::successors(self.after(after), |last| self.after(*last))
    }

    /// The last ticks after one time and up to another, at most so many, from the
    /// earliest on. Costs what the answer is long, however long the time between.
    pub fn between(&self, from: Millis, to: Millis, most: usize) -> Vec<Millis> {
        let mut span = 60_000 * most as Millis;
        loop {
            // No schedule has more than one tick a minute, so the first look is
            // never too long; one that finds too few looks back further.
            let start = from.max(to.saturating_sub(span));
            let ticks: Vec<Millis> = self.ticks(start).take_while(|tick| *tick <= to).collect();
            if start == from || ticks.len() >= most {
                let first = ticks.len().saturating_sub(most);
                return ticks.into_iter().skip(first).collect();
            }
            span = span.saturating_mul(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Millis {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn shown(millis: Millis, zone: Tz) -> String {
        DateTime::from_timestamp_millis(millis).unwrap().with_timezone(&zone).format("%m-%d %H:%M%:z").to_string()
    }

    /// Zone, schedule, a time, and the ticks that follow it, in local time.
    const TABLE: &[(&str, &str, &str, &[&str])] = &[
        // Berlin, from 2 to 3 on 29 March 2026.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", &["03-29 03:00+02:00", "03-30 02:30+02:00"]),
        ("Europe/Berlin", "0 3 * * *", "2026-03-28T12:00:00Z", &["03-29 03:00+02:00", "03-30 03:00+02:00"]),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2026-03-29T00:30:00+01:00",
            &["03-29 01:00+01:00", "03-29 03:00+02:00", "03-29 04:00+02:00"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-03-29T01:10:00+01:00",
            &["03-29 01:30+01:00", "03-29 03:00+02:00", "03-29 03:30+02:00"],
        ),
        // And from 3 to 2 on 25 October.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", &["10-25 02:30+02:00", "10-26 02:30+01:00"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:30:00+02:00", &["10-26 02:30+01:00"]),
        ("Europe/Berlin", "0 9 * * 1-5", "2026-10-23T12:00:00Z", &["10-26 09:00+01:00", "10-27 09:00+01:00"]),
        (
            "Europe/Berlin",
            "30 * * * *",
            "2026-10-25T01:00:00+02:00",
            &["10-25 01:30+02:00", "10-25 02:30+02:00", "10-25 02:30+01:00", "10-25 03:30+01:00"],
        ),
        // New York, from 2 to 3 on 8 March 2026, and from 2 to 1 on 1 November.
        ("America/New_York", "15 2 * * *", "2026-03-07T12:00:00Z", &["03-08 03:00-04:00", "03-09 02:15-04:00"]),
        (
            "America/New_York",
            "0 0,2,4 * * *",
            "2026-03-07T23:00:00-05:00",
            &["03-08 00:00-05:00", "03-08 03:00-04:00", "03-08 04:00-04:00"],
        ),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z", &["11-01 01:30-04:00", "11-02 01:30-05:00"]),
        (
            "America/New_York",
            "*/30 1 * * *",
            "2026-11-01T00:00:00-04:00",
            &["11-01 01:00-04:00", "11-01 01:30-04:00", "11-01 01:00-05:00", "11-01 01:30-05:00", "11-02 01:00-05:00"],
        ),
        (
            "America/New_York",
            "30 1,13 * * *",
            "2026-11-01T00:00:00-04:00",
            &["11-01 01:30-04:00", "11-01 13:30-05:00", "11-02 01:30-05:00"],
        ),
        (
            "America/New_York",
            "0,30 2-3 * * *",
            "2026-03-08T00:00:00-05:00",
            &["03-08 03:00-04:00", "03-08 03:30-04:00", "03-09 02:00-04:00"],
        ),
        // Lord Howe changes by half an hour: from 2:00 to 2:30, and from 2:00 to 1:30.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z", &["10-04 02:30+11:00", "10-05 02:15+11:00"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-03T20:00:00Z", &["04-05 01:45+11:00", "04-06 01:45+10:30"]),
        (
            "Australia/Lord_Howe",
            "*/15 * * * *",
            "2026-04-05T01:40:00+11:00",
            &["04-05 01:45+11:00", "04-05 01:30+10:30", "04-05 01:45+10:30", "04-05 02:00+10:30"],
        ),
        // In the south the seasons are the others.
        (
            "America/Santiago",
            "0 0 * * *",
            "2026-09-04T12:00:00Z",
            &["09-05 00:00-04:00", "09-06 01:00-03:00", "09-07 00:00-03:00"],
        ),
        ("Pacific/Auckland", "30 2 * * 0", "2026-09-20T12:00:00Z", &["09-27 03:00+13:00", "10-04 02:30+13:00"]),
        ("Pacific/Auckland", "30 2 * * *", "2026-04-04T00:00:00Z", &["04-05 02:30+13:00", "04-06 02:30+12:00"]),
        // Cairo changes at midnight: 24 April 2026 begins at 1.
        (
            "Africa/Cairo",
            "0 0 * * *",
            "2026-04-22T12:00:00Z",
            &["04-23 00:00+02:00", "04-24 01:00+03:00", "04-25 00:00+03:00"],
        ),
        (
            "Africa/Cairo",
            "30 23 * * *",
            "2026-10-28T12:00:00Z",
            &["10-28 23:30+03:00", "10-29 23:30+03:00", "10-30 23:30+02:00"],
        ),
        // No change at all, and odd offsets.
        ("Asia/Kolkata", "0 9 * * *", "2026-03-28T12:00:00Z", &["03-29 09:00+05:30", "03-30 09:00+05:30"]),
        ("Asia/Kathmandu", "0 0 1 * *", "2026-03-28T12:00:00Z", &["04-01 00:00+05:45", "05-01 00:00+05:45"]),
        ("UTC", "0 9 * * *", "2026-03-29T09:00:00Z", &["03-30 09:00+00:00"]),
        ("UTC", "0 9 * * *", "2026-03-29T08:59:59.999Z", &["03-29 09:00+00:00"]),
        ("UTC", "0 0 29 2 *", "2026-01-01T00:00:00Z", &["02-29 00:00+00:00", "02-29 00:00+00:00"]),
        (
            "UTC",
            "0 12 13 * 5",
            "2026-02-01T00:00:00Z",
            &["02-06 12:00+00:00", "02-13 12:00+00:00", "02-20 12:00+00:00"],
        ),
        ("UTC", "0 0 * * 7", "2026-02-01T00:00:00Z", &["02-08 00:00+00:00"]),
        ("UTC", "0 0 * * sun", "2026-02-01T00:00:00Z", &["02-08 00:00+00:00"]),
    ];

    #[test]
    fn ticks_follow_the_clocks_of_the_zone() {
        for (zone, schedule, from, expected) in TABLE {
            let timetable = Timetable::new(schedule, zone).unwrap();
            let ticks = timetable.ticks(millis(from)).take(expected.len());
            let ticks: Vec<String> = ticks.map(|tick| shown(tick, timetable.zone)).collect();
            assert_eq!(ticks, *expected, "{schedule} in {zone} after {from}");
        }
    }

    #[test]
    fn a_time_of_day_comes_once_a_day_in_every_zone() {
        let (from, to) = (millis("2025-12-31T18:00:00Z"), millis("2027-01-01T18:00:00Z"));
        for zone in [
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "America/Santiago",
            "Africa/Cairo",
            "Asia/Tehran",
        ] {
            for schedule in ["30 2 * * *", "0 0 * * *", "45 1 * * *", "0 3 * * *"] {
                let timetable = Timetable::new(schedule, zone).unwrap();
                let utc = |tick: Millis| DateTime::from_timestamp_millis(tick).unwrap();
                let local = |tick: Millis| utc(tick).with_timezone(&timetable.zone).date_naive();
                let days: Vec<_> = timetable.ticks(from).take_while(|tick| *tick < to).map(local).collect();
                let next = |day: &chrono::NaiveDate| day.succ_opt().unwrap();
                assert!(days.windows(2).all(|pair| next(&pair[0]) == pair[1]), "{schedule} in {zone}");
                assert!(days.len() >= 365);
            }
        }
    }

    #[test]
    fn the_last_ticks_of_a_long_time_are_found_without_all_that_came_before() {
        let (from, to) = (millis("1990-01-01T00:00:00Z"), millis("2026-06-15T10:00:30Z"));
        for (schedule, expected) in [
            ("* * * * *", ["2026-06-15T09:58:00Z", "2026-06-15T09:59:00Z", "2026-06-15T10:00:00Z"]),
            ("0 9 * * *", ["2026-06-13T09:00:00Z", "2026-06-14T09:00:00Z", "2026-06-15T09:00:00Z"]),
            ("0 0 29 2 *", ["2016-02-29T00:00:00Z", "2020-02-29T00:00:00Z", "2024-02-29T00:00:00Z"]),
        ] {
            let timetable = Timetable::new(schedule, "UTC").unwrap();
            assert_eq!(timetable.between(from, to, 3), expected.map(millis), "{schedule}");
            assert!(timetable.between(to, to, 3).is_empty());
            assert!(timetable.between(to, from, 3).is_empty(), "a clock that was set back");
        }
        let daily = Timetable::new("0 9 * * *", "UTC").unwrap();
        let (tick, next) = (millis("2026-06-14T09:00:00Z"), millis("2026-06-15T09:00:00Z"));
        assert_eq!(daily.between(tick, next, 100), [next], "the first is not among them, the last is");
    }

    #[test]
    fn what_is_no_timetable_is_refused() {
        for (schedule, zone, reason) in [
            ("", "UTC", Unreadable::Schedule),
            ("@daily", "UTC", Unreadable::Schedule),
            ("* * * *", "UTC", Unreadable::Schedule),
            ("* * * * * *", "UTC", Unreadable::Schedule),
            ("60 * * * *", "UTC", Unreadable::Schedule),
            ("* 24 * * *", "UTC", Unreadable::Schedule),
            ("* * 0 * *", "UTC", Unreadable::Schedule),
            ("*/0 * * * *", "UTC", Unreadable::Schedule),
            ("5-1 * * * *", "UTC", Unreadable::Schedule),
            ("* * * * ✓", "UTC", Unreadable::Schedule),
            ("0 0 30 2 *", "UTC", Unreadable::Never),
            ("0 0 31 4,6 *", "UTC", Unreadable::Never),
            ("0 9 * * *", "", Unreadable::Timezone),
            ("0 9 * * *", "Berlin", Unreadable::Timezone),
            ("0 9 * * *", "Europe/Berlin\0", Unreadable::Timezone),
        ] {
            assert_eq!(Timetable::new(schedule, zone).map(|_| ()), Err(reason), "{schedule} in {zone}");
        }
        assert!(Timetable::new(&format!("0 {} * * *", "1,".repeat(TEXT)), "UTC").is_err());
    }
}
