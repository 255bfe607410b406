//! What an author sets on a schedule, and the checks of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::Policy;
use super::timetable::{Timetable, Unreadable};
use crate::settings::MAX_ATTEMPTS;
use crate::store::clock::{Millis, millis};

/// How long after its time a tick may be caught up, where nothing is said.
const WINDOW: &str = "1day";
/// The longest such time, and the longest jitter.
const MAX_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const MAX_JITTER: Duration = Duration::from_secs(24 * 60 * 60);

/// When a script runs by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    /// Five fields, minute, hour, day, month and weekday: `0 9 * * 1-5`.
    #[schema(min_length = 9)]
    pub schedule: String,
    /// Whose clocks it goes by: a name of the IANA's, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schema(pattern = "^[A-Za-z]")]
    pub timezone: String,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How long after its time a tick may still be caught up, such as `6h`.
    /// Null: a day.
    #[serde(default)]
    pub catch_up_window: Option<String>,
    /// Runs begin up to so long after their time, such as `30s`, so that not all
    /// begin at once. Null: at their time.
    #[serde(default)]
    pub jitter: Option<String>,
    /// How often a run that fails, or is lost with its host, is tried at most.
    /// Null: as often as the host tries jobs.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub attempts: Option<i64>,
    /// Whether it rests. `POST /api/schedules/{script}/resume` wakes it as well.
    #[serde(default)]
    pub paused: bool,
}

/// What becomes of a tick while the run of one before it is not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It runs after that.
    Queue,
    /// It runs at its time.
    Allow,
}

/// What becomes of ticks that came while no host was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// None of them runs.
    None,
    /// The last one runs.
    #[default]
    Latest,
    /// All run, one after the other unless they may overlap.
    All,
}

/// A field that says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub field: &'static str,
    /// A sentence.
    pub message: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Cron {
    /// A schedule in UTC, the rest as it is where nothing is said.
    pub fn new(schedule: impl Into<String>) -> Cron {
        Cron {
            schedule: schedule.into(),
            timezone: utc(),
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            catch_up_window: None,
            jitter: None,
            attempts: None,
            paused: false,
        }
    }

    pub fn timetable(&self) -> Result<Timetable, Wrong> {
        Timetable::new(&self.schedule, &self.timezone).map_err(|unreadable| {
            let (field, message) = match unreadable {
                Unreadable::Schedule => (
                    "schedule",
                    "This is no schedule: write minute, hour, day, month and weekday, as in `0 9 * * *`.".to_owned(),
                ),
                Unreadable::Never => ("schedule", "This schedule names a time that never comes.".to_owned()),
                Unreadable::Timezone => (
                    "timezone",
                    "This is no time zone: write a name of the IANA's, as in `Europe/Berlin` or `UTC`.".to_owned(),
                ),
            };
            Wrong { field, message }
        })
    }

    pub fn policy(&self) -> Result<Policy, Wrong> {
        let window = self.catch_up_window.as_deref().unwrap_or(WINDOW);
        Ok(Policy {
            overlap: self.overlap,
            catch_up: self.catch_up,
            window: duration("catch_up_window", window, MAX_WINDOW)?,
            jitter: self.jitter.as_deref().map_or(Ok(0), |jitter| duration("jitter", jitter, MAX_JITTER))?,
        })
    }

    /// Whether all of it can be read.
    pub fn check(&self) -> Result<(), Wrong> {
        self.timetable()?;
        self.policy()?;
        if self.attempts.is_some_and(|attempts| !(1..=MAX_ATTEMPTS as i64).contains(&attempts)) {
            return Err(Wrong { field: "attempts", message: format!("This is a number from 1 to {MAX_ATTEMPTS}.") });
        }
        Ok(())
    }
}

fn duration(field: &'static str, text: &str, most: Duration) -> Result<Millis, Wrong> {
    let read = humantime::parse_duration(text).ok().filter(|duration| *duration <= most);
    let duration = read.ok_or_else(|| Wrong {
        field,
        message: format!("This is a time such as `90s` or `6h`, of {} at most.", humantime::format_duration(most)),
    })?;
    Ok(millis(duration))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(cron: &Value) -> Result<Cron, String> {
        let cron: Cron = serde_json::from_value(cron.clone()).map_err(|reason| reason.to_string())?;
        cron.check().map_err(|wrong| format!("{}: {}", wrong.field, wrong.message))?;
        Ok(cron)
    }

    #[test]
    fn a_schedule_alone_is_enough() {
        assert_eq!(check(&json!({ "schedule": "0 9 * * *" })), Ok(Cron::new("0 9 * * *")));
        let policy = Cron::new("0 9 * * *").policy().unwrap();
        let day = 24 * 60 * 60 * 1000;
        let expected = Policy { overlap: Overlap::Skip, catch_up: CatchUp::Latest, window: day, jitter: 0 };
        assert_eq!(policy, expected);
        let all = json!({
            "schedule": "*/5 * * * *", "timezone": "Europe/Berlin", "overlap": "queue", "catch_up": "all",
            "catch_up_window": "90m", "jitter": "30s", "attempts": 1, "paused": true,
        });
        let cron = check(&all).unwrap();
        assert_eq!(serde_json::to_value(&cron).unwrap(), all);
        assert_eq!(cron.policy().map(|policy| (policy.window, policy.jitter)), Ok((5_400_000, 30_000)));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (more, expected) in [
            (json!({ "schedule": "61 9 * * *" }), "schedule: This is no schedule"),
            (json!({ "schedule": "0 0 30 2 *" }), "schedule: This schedule names a time that never comes"),
            (json!({ "timezone": "Mars/Olympus" }), "timezone:"),
            (json!({ "overlap": "maybe" }), "unknown variant `maybe`"),
            (json!({ "catch_up": "some" }), "unknown variant `some`"),
            (json!({ "catch_up_window": "soon" }), "catch_up_window:"),
            (json!({ "catch_up_window": "31days" }), "catch_up_window:"),
            (json!({ "jitter": "25h" }), "jitter: This is a time such as `90s` or `6h`, of 1day at most."),
            (json!({ "jitter": "-1s" }), "jitter:"),
            (json!({ "attempts": 0 }), "attempts: This is a number from 1 to 100."),
            (json!({ "every": "day" }), "unknown field `every`"),
        ] {
            let mut cron = json!({ "schedule": "0 9 * * *" });
            cron.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let refused = check(&cron).expect_err(&cron.to_string());
            assert!(refused.starts_with(expected), "{cron}: {refused}");
        }
    }
}
