//! What holds, and where it came from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::environment::{VARIABLES, set};
use super::{Receive, Settings, SettingsError};
use crate::capabilities::db::postgres::{Protection, Table};
use crate::runtime::limits::{Limit, Unit};
use crate::tenant::quota::Quota;

/// One setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its place in the file, such as `limits.timeout`.
    pub setting: String,
    /// As the file would say it. Of what is secret, only that it is there.
    pub value: String,
    pub from: Origin,
}

/// Where a setting's value was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Default,
    /// The file, and the line in it, from 1.
    File(PathBuf, usize),
    /// An environment variable's name.
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            Origin::File(path, line) => write!(formatter, "{}:{line}", path.display()),
            Origin::Environment(name) => formatter.write_str(name),
        }
    }
}

/// Reads the settings as [`Settings::load`] does, and says of each where it
/// came from.
pub fn explain(
    path: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Settings, Vec<Explained>), SettingsError> {
    let (settings, text) = Settings::read(path, &variable)?;
    // What was read just now can be read.
    let document = DeTable::parse(&text).map(|table| table.into_inner()).unwrap_or_default();
    let origin = |setting: &str| {
        let named = VARIABLES.iter().find(|(name, of)| *of == setting && set(name, &variable).is_some());
        match (named, path, line(&text, &document, setting)) {
            (Some((name, _)), _, _) => Origin::Environment(name),
            (None, Some(path), Some(line)) => Origin::File(path.to_owned(), line),
            _ => Origin::Default,
        }
    };
    let explained =
        rows(&settings).into_iter().map(|(setting, value)| Explained { from: origin(&setting), setting, value });
    let explained = explained.collect();
    Ok((settings, explained))
}

/// The line of a key, from 1.
fn line(text: &str, document: &DeTable<'_>, setting: &str) -> Option<usize> {
    let (first, rest) = setting.split_once('.').map_or((setting, None), |(first, rest)| (first, Some(rest)));
    let (key, value) = document.iter().find(|(key, _)| key.as_ref() == first)?;
    match (rest, value.as_ref()) {
        (None, _) => Some(text.get(..key.span().start)?.matches('\n').count() + 1),
        (Some(rest), DeValue::Table(table)) => line(text, table, rest),
        (Some(_), _) => None,
    }
}

/// All that is no script's, service's or tenant's own.
fn rows(settings: &Settings) -> Vec<(String, String)> {
    let time = |time: Duration| humantime::format_duration(time).to_string();
    let size = |bytes: u64| Unit::Size.show(bytes);
    let names = |names: Vec<&str>| format!("[{}]", names.join(", "));
    let there = |there: bool| if there { "set" } else { "none" }.to_owned();
    let none = || "none".to_owned();
    let Settings {
        server, sandboxes, http, smtp, store, database, executions, queue, events, schedules, metrics, ..
    } = settings;
    let database = database.as_ref();
    let nats = events.nats.as_ref();
    let receive = |of: fn(&Receive) -> &String| {
        nats.and_then(|nats| nats.receive.as_ref()).map_or_else(none, |receive| of(receive).clone())
    };
    let listed = |of: fn(&Protection) -> Vec<String>| {
        let list = database.map(|database| of(&database.protection));
        list.map_or_else(none, |list| names(list.iter().map(String::as_str).collect()))
    };
    let mut rows: Vec<(&str, String)> = vec![
        ("scripts_enabled", settings.scripts_enabled.to_string()),
        ("data", settings.data.display().to_string()),
        ("cache_size", size(settings.cache_size)),
        ("store.url", there(store.is_some())),
        ("store.connections", store.as_ref().map_or_else(none, |store| store.connections.to_string())),
        ("database.url", there(database.is_some())),
        ("database.admin_url", there(database.is_some_and(|database| database.admin_url.is_some()))),
        ("database.connections", database.map_or_else(none, |database| database.connections.to_string())),
        ("database.schema", database.map_or_else(none, |database| database.protection.schema.clone())),
        ("database.token_keys", listed(|of| of.keys.iter().map(|key| key.id().to_owned()).collect())),
        ("database.application_roles", listed(|of| of.application_roles.clone())),
        ("database.functions", listed(|of| of.functions.clone())),
        ("database.tables", listed(|of| of.tables.iter().map(table).collect())),
        ("server.listen", server.listen.to_string()),
        ("server.max_body", size(server.max_body)),
        ("server.header_timeout", time(server.header_timeout)),
        ("server.body_timeout", time(server.body_timeout)),
        ("server.max_connections", server.max_connections.to_string()),
        ("server.max_requests", server.max_requests.to_string()),
        ("server.shutdown_grace", time(server.shutdown_grace)),
        ("server.access_log", server.access_log.to_string()),
        ("server.tls", server.tls.as_ref().map_or_else(none, |tls| tls.certificate.display().to_string())),
        ("executions.record", executions.record.to_string()),
        ("executions.keep", time(executions.keep)),
        ("executions.max_per_tenant", executions.max_per_tenant.to_string()),
        ("executions.max_bytes_per_tenant", size(executions.max_bytes_per_tenant)),
        ("executions.max_result", size(executions.max_result)),
        ("events.keep", time(events.keep)),
        ("events.nats.url", there(nats.is_some())),
        ("events.nats.credentials", there(nats.is_some_and(|nats| nats.credentials.is_some()))),
        ("events.nats.publish", nats.and_then(|nats| nats.publish.clone()).unwrap_or_else(none)),
        ("events.nats.receive", receive(|receive| &receive.subject)),
        ("events.nats.stream", receive(|receive| &receive.stream)),
        ("events.nats.consumer", receive(|receive| &receive.consumer)),
        ("queue.concurrency", queue.concurrency.to_string()),
        ("queue.lease", time(queue.lease)),
        ("queue.heartbeat", time(queue.heartbeat)),
        ("queue.sweep", time(queue.sweep)),
        ("queue.attempts", queue.attempts.to_string()),
        ("queue.backoff", time(queue.backoff)),
        ("queue.max_backoff", time(queue.max_backoff)),
        ("queue.keep_dead", time(queue.keep_dead)),
        ("queue.max_dead_per_tenant", queue.max_dead_per_tenant.to_string()),
        ("schedules.keep", time(schedules.keep)),
        ("schedules.max_ticks", schedules.max_ticks.to_string()),
        ("metrics.listen", metrics.listen.map_or_else(none, |address| address.to_string())),
        ("metrics.max_tenants", metrics.max_tenants.to_string()),
        ("metrics.max_scripts", metrics.max_scripts.to_string()),
        ("traces.endpoint", settings.traces.clone().unwrap_or_else(none)),
        ("sandboxes.count", sandboxes.count.to_string()),
        ("sandboxes.wait", time(sandboxes.wait)),
        (
            "http.private_networks",
            names(
                http.private_networks
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
                    .collect(),
            ),
        ),
        ("http.user_agent", http.user_agent.clone()),
        ("smtp.url", there(smtp.is_some())),
        ("smtp.from", smtp.as_ref().and_then(|smtp| smtp.from.clone()).unwrap_or_else(none)),
        ("secrets.keys", names(settings.secrets.0.iter().map(|key| key.id.as_str()).collect())),
        ("tenants", names(settings.tenants.iter().map(|tenant| tenant.tenant.id.as_str()).collect())),
        ("auth.jwt.issuer", settings.jwt.as_ref().map_or_else(none, |jwt| jwt.issuer.clone())),
        ("auth.jwt.audience", settings.jwt.as_ref().map_or_else(none, |jwt| jwt.audience.clone())),
        ("users", names(settings.users.iter().map(|user| user.user.id.as_str()).collect())),
        ("service_accounts", names(settings.service_accounts.iter().map(|account| account.id.as_str()).collect())),
        ("tables", names(settings.tables.keys().map(String::as_str).collect())),
        ("services", names(settings.services.keys().map(String::as_str).collect())),
        ("scripts", names(settings.scripts.iter().map(|script| script.name.as_str()).collect())),
    ];
    let limits =
        Limit::ALL.iter().map(|limit| (format!("limits.{}", limit.name()), limit.show(settings.limits.get(*limit))));
    let quotas =
        Quota::ALL.iter().map(|quota| (format!("quotas.{}", quota.name()), quota.show(settings.quotas.get(*quota))));
    rows.drain(..).map(|(name, value)| (name.to_owned(), value)).chain(limits).chain(quotas).collect()
}

/// A table, with the column that says whose a row is.
fn table(table: &Table) -> String {
    match &table.tenant_column {
        Some(column) => format!("{} by {column}", table.name),
        None => table.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_says_where_its_value_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("airlock.toml");
        let text = "data = 'd'\n\n[limits]\ntimeout = '7s'\nmemory = '64MiB'\n[server]\nlisten = '127.0.0.1:1'\n\
            [[tenants]]\nid = 'acme'\n[[users]]\nid = 'ann'\ntenant = 'acme'\ntoken = 'hunter2'\n";
        std::fs::write(&path, text).unwrap();
        let variables = |name: &str| match name {
            "SCRIPT_TIMEOUT_SECONDS" => Some("5".to_owned()),
            "AIRLOCK_SECRETS_KEYS" => Some(format!("k1:{}", "ab".repeat(32))),
            // As good as not set.
            "SCRIPT_VM_POOL_SIZE" => Some(String::new()),
            _ => None,
        };
        let (_, explained) = explain(Some(&path), variables).unwrap();
        let find = |setting: &str| {
            let found = explained.iter().find(|one| one.setting == setting).unwrap_or_else(|| panic!("{setting}"));
            (found.value.clone(), found.from.to_string().replace(&path.display().to_string(), "FILE"))
        };
        for (setting, value, from) in [
            ("data", folder.path().join("d").display().to_string().as_str(), "FILE:1"),
            ("limits.timeout", "5s", "SCRIPT_TIMEOUT_SECONDS"),
            ("limits.memory", "64MiB", "FILE:5"),
            ("limits.grace", Limit::Grace.show(Settings::default().limits.grace).as_str(), "default"),
            ("server.listen", "127.0.0.1:1", "FILE:7"),
            ("sandboxes.count", "64", "default"),
            ("secrets.keys", "[k1]", "AIRLOCK_SECRETS_KEYS"),
            ("tenants", "[acme]", "FILE:8"),
            ("users", "[ann]", "FILE:10"),
            ("database.url", "none", "default"),
        ] {
            assert_eq!(find(setting), (value.to_owned(), from.to_owned()), "{setting}");
        }
        assert!(!format!("{explained:?}").contains("hunter2"));
        assert!(!format!("{explained:?}").contains("abab"));
    }

    #[test]
    fn without_a_file_all_is_by_default_or_the_environment() {
        let (_, explained) = explain(None, |name| (name == "SCRIPTS_ENABLED").then(|| "off".to_owned())).unwrap();
        let set: Vec<_> = explained.iter().filter(|one| one.from != Origin::Default).collect();
        assert_eq!(set.len(), 1, "{set:?}");
        assert_eq!((set[0].setting.as_str(), set[0].value.as_str()), ("scripts_enabled", "false"));
    }

    /// The README's table is of what there is.
    #[test]
    fn every_general_setting_of_the_readme_is_explained() {
        let readme = include_str!("../../README.md");
        let settings = readme.split("\n## Settings\n").nth(1).unwrap().split("\n### Limits\n").next().unwrap();
        let explained = rows(&Settings::default());
        let mut table = String::new();
        let mut checked = 0;
        for row in settings.lines().filter(|line| line.starts_with("| `")) {
            let name = row.trim_start_matches("| `").split('`').next().unwrap();
            if name.starts_with('[') {
                table = name.trim_matches(['[', ']']).to_owned();
                continue;
            }
            // What there may be several of is explained as one list, and a variable is no setting.
            let several = ["tenants", "users", "service_accounts", "scripts"].contains(&table.as_str());
            // The tables are explained with it.
            let several = several || name == "tenant_column";
            if several || table.contains('.') || name.starts_with(|c: char| c.is_ascii_uppercase()) {
                continue;
            }
            let setting = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
            assert!(explained.iter().any(|(known, _)| *known == setting), "{setting} is not explained");
            checked += 1;
        }
        assert!(checked > 20, "{checked}");
    }
}
