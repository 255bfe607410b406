//! Dates and times on the wire: days and microseconds since the year 2000.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// Days from 1970 to 2000.
const EPOCH_DAYS: i64 = 10_957;
const DAY: i64 = 86_400_000_000;

/// A day's year, month and day, of the Gregorian calendar without end, from
/// days since 1970. See Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", civil_from_days: PostgreSQL's years go further than a library's.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// As ISO 8601 and JavaScript write it: years beyond four digits have a sign and six.
fn written(days: i64) -> String {
    let (year, month, day) = civil(days + EPOCH_DAYS);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{}{:06}-{month:02}-{day:02}", if year < 0 { '-' } else { '+' }, year.abs()),
    }
}

pub fn read_date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => written(i64::from(days)),
    }
}

/// Without a fraction where it has none.
pub fn read_time(microseconds: i64) -> String {
    let clock = clock(microseconds);
    match microseconds.rem_euclid(1_000_000) {
        0 => clock,
        rest if rest % 1000 == 0 => format!("{clock}.{:03}", rest / 1000),
        rest => format!("{clock}.{rest:06}"),
    }
}

fn clock(microseconds: i64) -> String {
    let seconds = microseconds.div_euclid(1_000_000);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Always with milliseconds, as `toISOString` has them.
pub fn read_timestamp(microseconds: i64, zone: &str) -> String {
    match microseconds {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let (days, rest) = (microseconds.div_euclid(DAY), microseconds.rem_euclid(DAY));
    let fraction = match rest % 1_000_000 {
        fraction if fraction % 1000 == 0 => format!("{:03}", fraction / 1000),
        fraction => format!("{fraction:06}"),
    };
    format!("{}T{}.{fraction}{zone}", written(days), clock(rest))
}

/// As ISO 8601 writes it.
pub fn read_interval(microseconds: i64, days: i32, months: i32) -> String {
    let mut text = String::from("P");
    for (number, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if number != 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if microseconds != 0 {
        text.push('T');
        let sign = if microseconds < 0 { "-" } else { "" };
        let rest = microseconds.unsigned_abs();
        let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
        for (number, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if number != 0 {
                text.push_str(&format!("{sign}{number}{unit}"));
            }
        }
        if fraction != 0 {
            text.push_str(format!("{sign}{}.{fraction:06}", seconds % 60).trim_end_matches('0'));
            text.push('S');
        } else if seconds % 60 != 0 {
            text.push_str(&format!("{sign}{}S", seconds % 60));
        }
    }
    if text == "P" { "PT0S".to_owned() } else { text }
}

/// A moment, with whether it came with a time and with a zone other than UTC.
struct Moment {
    local: NaiveDateTime,
    /// In seconds east of UTC.
    offset: Option<i32>,
    timed: bool,
}

fn moment(text: &str) -> Option<Moment> {
    let text = text.trim();
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(Moment { local: date.and_time(NaiveTime::MIN), offset: None, timed: false });
    }
    // A space in place of the T, and offsets of hours alone, are PostgreSQL's.
    for format in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z"] {
        let utc = text.strip_suffix(['Z', 'z']).map(|rest| format!("{rest}+00:00"));
        if let Ok(zoned) = DateTime::parse_from_str(utc.as_deref().unwrap_or(text), format) {
            let offset = zoned.offset().local_minus_utc();
            return Some(Moment { local: zoned.naive_local(), offset: Some(offset), timed: true });
        }
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|local| Moment { local, offset: None, timed: true })
}

/// Microseconds since 2000. None where a digit would be lost.
fn microseconds(local: NaiveDateTime) -> Option<i64> {
    if !local.nanosecond().is_multiple_of(1000) {
        return None;
    }
    local.and_utc().timestamp_micros().checked_sub(EPOCH_DAYS * DAY)
}

pub fn write_date(text: &str) -> Option<i32> {
    match text.trim() {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let moment = moment(text)?;
    // A Date of JavaScript's is a day where it is midnight in UTC.
    let midnight = moment.local.time() == NaiveTime::MIN && moment.offset.is_none_or(|offset| offset == 0);
    if moment.timed && !midnight {
        return None;
    }
    i32::try_from(microseconds(moment.local)?.div_euclid(DAY)).ok()
}

/// Without a zone, or in UTC: PostgreSQL would leave out any other.
pub fn write_timestamp(text: &str) -> Option<i64> {
    match infinite(text) {
        None => {
            let moment = moment(text)?;
            if moment.offset.is_some_and(|offset| offset != 0) { None } else { microseconds(moment.local) }
        }
        infinite => infinite,
    }
}

/// Without a zone it is UTC.
pub fn write_timestamptz(text: &str) -> Option<i64> {
    match infinite(text) {
        None => {
            let moment = moment(text)?;
            microseconds(moment.local)?.checked_sub(i64::from(moment.offset.unwrap_or(0)) * 1_000_000)
        }
        infinite => infinite,
    }
}

fn infinite(text: &str) -> Option<i64> {
    match text.trim() {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        _ => None,
    }
}

pub fn write_time(text: &str) -> Option<i64> {
    let text = text.trim();
    if text == "24:00:00" || text == "24:00" {
        return Some(DAY);
    }
    let time = ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())?;
    if !time.nanosecond().is_multiple_of(1000) {
        return None;
    }
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1000))
}
