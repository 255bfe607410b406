//! `cron` of a script: when it runs by itself.

use serde::Deserialize;
use toml::Spanned;

use super::ScriptKind;
use super::error::Fault;
use super::file::Scalar;
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
    #[serde(default)]
    paused: bool,
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
        paused: table.paused,
        ..plain
    };
    cron.check().map_err(|wrong| {
        let span = match wrong.field {
            "schedule" => Some(table.schedule.span()),
            "timezone" => table.timezone.as_ref().map(Spanned::span),
            "catch_up_window" => table.catch_up_window.as_ref().map(Spanned::span),
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
