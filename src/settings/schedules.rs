//! `cron` of a script, which says when it runs by itself, and `[schedules]`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::ScriptKind;
use super::error::Fault;
use super::file::{Scalar, count, keep};
use crate::triggers::schedules::Cron;
use crate::triggers::schedules::cron::{CatchUp, Overlap};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CronTable {
    schedule: Spanned<String>,
    timezone: Option<Spanned<String>>,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    catch_up: CatchUp,
    catch_up_window: Option<Spanned<Scalar>>,
    jitter: Option<Spanned<Scalar>>,
    attempts: Option<Spanned<i64>>,
    #[serde(default)]
    paused: bool,
}

/// `[schedules]`: what is kept of ticks.
#[derive(Debug, Clone)]
pub struct ScheduleSettings {
    /// How long.
    pub keep: Duration,
    /// Ticks of one schedule; beyond, the oldest go.
    pub max_ticks: u64,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        // A month of every hour, and most of a day of every minute.
        ScheduleSettings { keep: Duration::from_secs(30 * 24 * 60 * 60), max_ticks: 1_000 }
    }
}

/// One schedule's ticks on record.
const MAX_TICKS: u64 = 1_000_000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SchedulesTable {
    keep: Option<Spanned<Scalar>>,
    max_ticks: Option<Spanned<Scalar>>,
}

pub(super) fn read(table: &SchedulesTable) -> Result<ScheduleSettings, Fault> {
    let mut settings = ScheduleSettings::default();
    keep(&table.keep, &mut settings.keep)?;
    if let Some(count) = count(&table.max_ticks, 1..=MAX_TICKS)? {
        settings.max_ticks = count;
    }
    Ok(settings)
}

/// Reads it, for scripts that may have it.
pub(super) fn cron(kind: ScriptKind, table: Option<&Spanned<CronTable>>) -> Result<Option<Cron>, Fault> {
    let Some(place) = table else { return Ok(None) };
    if kind != ScriptKind::Cron {
        return Err(Fault::new(place.span(), "`cron` is for scripts of type `cron`")
            .help("add `type = \"cron\"`, or leave it out"));
    }
    let table = place.as_ref();
    let text = |setting: &Option<Spanned<Scalar>>| setting.as_ref().map(|setting| setting.as_ref().0.clone());
    let plain = Cron::new(table.schedule.as_ref());
    let cron = Cron {
        timezone: table.timezone.as_ref().map_or(plain.timezone.clone(), |timezone| timezone.as_ref().clone()),
        overlap: table.overlap,
        catch_up: table.catch_up,
        catch_up_window: text(&table.catch_up_window),
        jitter: text(&table.jitter),
        attempts: table.attempts.as_ref().map(|attempts| *attempts.as_ref()),
        paused: table.paused,
        ..plain
    };
    cron.check().map_err(|wrong| {
        let span = match wrong.field {
            "schedule" => Some(table.schedule.span()),
            "timezone" => table.timezone.as_ref().map(Spanned::span),
            "catch_up_window" => table.catch_up_window.as_ref().map(Spanned::span),
            "attempts" => table.attempts.as_ref().map(Spanned::span),
            "jitter" => table.jitter.as_ref().map(Spanned::span),
            _ => None,
        };
        Fault::new(span.unwrap_or(place.span()), lower(&wrong.message))
    })?;
    Ok(Some(cron))
}

/// A sentence as these reports write them.
fn lower(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    first + letters.as_str().trim_end_matches('.')
}
