//! `[store]`: where the host keeps its own data.

use std::fmt;

use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use toml::Spanned;

use super::SettingsError;
use super::database::{DatabaseSettings, url};
use super::environment::set;
use super::error::Fault;
use super::file::{Scalar, count};

const URL: &str = "AIRLOCK_STORE_URL";

/// A PostgreSQL database of the host's own.
#[derive(Clone)]
pub struct StoreSettings {
    /// `postgres://`; may hold a password.
    pub url: String,
    /// Connections at most, half of which write.
    pub connections: u32,
}

/// As many as of the tenants' database: each call may write something.
const CONNECTIONS: u32 = 16;
const MOST_CONNECTIONS: u64 = 1000;

impl fmt::Debug for StoreSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoreSettings").field("url", &"…").field("connections", &self.connections).finish()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreTable {
    url: Option<Spanned<String>>,
    connections: Option<Spanned<Scalar>>,
}

/// Reads the table and the environment over it. `None` where neither names a
/// database. `at` makes an error of a fault in the file.
pub(super) fn read(
    table: &StoreTable,
    variable: &impl Fn(&str) -> Option<String>,
    database: Option<&DatabaseSettings>,
    at: impl Fn(Fault) -> SettingsError,
) -> Result<Option<StoreSettings>, SettingsError> {
    // At least one to write and one to read.
    let connections = count(&table.connections, 2..=MOST_CONNECTIONS).map_err(&at)?;
    let connections = connections.map_or(CONNECTIONS, |count| count as u32);
    let Some((url, options)) = url(URL, table.url.as_ref(), variable, &at)? else { return Ok(None) };
    if database.is_some_and(|database| same(database, &options)) {
        const MESSAGE: &str = "the host's own data and the tenants' tables are in the same database";
        const HELP: &str = "make another database for one of the two: scripts' statements reach into the tenants', \
            and the host's holds their secrets";
        return Err(match &table.url {
            Some(place) if set(URL, variable).is_none() => at(Fault::new(place.span(), MESSAGE).help(HELP)),
            _ => SettingsError { help: Some(HELP.to_owned()), ..SettingsError::plain(MESSAGE) },
        });
    }
    Ok(Some(StoreSettings { url, connections }))
}

/// Whether the URLs name one database in the same words. A help against a
/// mistake: one server may have many names.
fn same(database: &DatabaseSettings, options: &PgConnectOptions) -> bool {
    let place = |options: &PgConnectOptions| {
        (
            options.get_host().to_owned(),
            options.get_socket().cloned(),
            options.get_port(),
            options.get_database().map(str::to_owned),
        )
    };
    database.url.parse().is_ok_and(|other| place(&other) == place(options))
}
