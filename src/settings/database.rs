//! `[database]`: the PostgreSQL database of the tenants' tables.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use toml::Spanned;

use super::SettingsError;
use super::environment::set;
use super::error::Fault;
use super::file::{Scalar, count, words};
use super::keys::{KeyTable, Maker};
use crate::capabilities::db::postgres::token::{KEY_BYTES, Key, Keys};
use crate::capabilities::db::postgres::{Access, Protection, Table};

const URL: &str = "AIRLOCK_DATABASE_URL";
const ADMIN_URL: &str = "AIRLOCK_DATABASE_ADMIN_URL";
const TOKEN_KEYS: &str = "AIRLOCK_DATABASE_TOKEN_KEYS";

/// The database and what of it tenants may reach.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `postgres://`, with the role that tenants' statements run as; may hold
    /// its password.
    pub url: String,
    /// The same with a superuser, for `airlock db`. The server never needs it.
    pub admin_url: Option<String>,
    /// Connections at most, half of which one tenant may have.
    pub connections: usize,
    pub protection: Protection,
}

/// Statements take turns on a connection, and few cores serve them.
const CONNECTIONS: usize = 16;
/// As many as `airlock db protect` gives the role.
const MOST_CONNECTIONS: u64 = 100;

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DatabaseSettings")
            .field("url", &"…")
            .field("admin_url", &self.admin_url.as_ref().map(|_| "…"))
            .field("connections", &self.connections)
            .field("protection", &self.protection)
            .finish()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DatabaseTable {
    url: Option<Spanned<String>>,
    admin_url: Option<Spanned<String>>,
    connections: Option<Spanned<Scalar>>,
    schema: Option<Spanned<String>>,
    tenant_column: Option<Spanned<String>>,
    application_roles: Vec<Spanned<String>>,
    functions: Vec<Spanned<String>>,
    token_keys: Vec<KeyTable>,
    tables: Vec<TableTable>,
}

/// One of `[[database.tables]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableTable {
    name: Spanned<String>,
    tenant_column: Option<Spanned<String>>,
    #[serde(default)]
    access: Access,
}

/// Reads the table and the environment over it. `None` where neither names a
/// database. `at` makes an error of a fault in the file.
pub(super) fn read(
    table: Option<&Spanned<DatabaseTable>>,
    variable: &impl Fn(&str) -> Option<String>,
    at: impl Fn(Fault) -> SettingsError,
) -> Result<Option<DatabaseSettings>, SettingsError> {
    let nothing = DatabaseTable::default();
    let (table, span) = match table {
        Some(table) => (table.as_ref(), table.span()),
        None if set(URL, variable).is_some() => (&nothing, 0..0),
        None => return Ok(None),
    };
    let missing =
        || Fault::new(span.clone(), "this table lacks `url`").help(format!("set it here, or {URL} in the environment"));
    let (url, options) = match url(URL, table.url.as_ref(), variable, &at)? {
        Some(found) => found,
        None => return Err(at(missing())),
    };
    let admin_url = self::url(ADMIN_URL, table.admin_url.as_ref(), variable, &at)?.map(|(url, _)| url);
    let keys = match set(TOKEN_KEYS, variable) {
        Some(text) => KEYS.of_environment(TOKEN_KEYS, &text)?,
        None => KEYS.of_file(&table.token_keys).map_err(&at)?,
    };
    let tables = tables(table).map_err(&at)?;
    let list = |names: &[Spanned<String>], what| names.iter().map(|name| words(name, what)).collect::<Result<_, _>>();
    let connections = count(&table.connections, 1..=MOST_CONNECTIONS).map_err(&at)?;
    Ok(Some(DatabaseSettings {
        connections: connections.map_or(CONNECTIONS, |count| count as usize),
        protection: Protection {
            login: options.get_username().to_owned(),
            schema: table
                .schema
                .as_ref()
                .map_or(Ok("public".to_owned()), |name| words(name, "a schema"))
                .map_err(&at)?,
            tables,
            application_roles: list(&table.application_roles, "a role").map_err(&at)?,
            functions: list(&table.functions, "a function").map_err(&at)?,
            keys: Keys::new(keys),
        },
        url,
        admin_url,
    }))
}

/// A URL and what the driver reads in it. No message quotes one: it may hold a
/// password.
pub(super) fn url(
    name: &str,
    setting: Option<&Spanned<String>>,
    variable: &impl Fn(&str) -> Option<String>,
    at: impl Fn(Fault) -> SettingsError,
) -> Result<Option<(String, PgConnectOptions)>, SettingsError> {
    const HELP: &str = "write it as `postgres://role:password@db.example.com/database`; \
        for a Unix socket, `postgres://role@localhost/database?host=/var/run/postgresql`";
    let parse = |text: &str| {
        let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"))?;
        // Without one the driver would take this process's user.
        if url.username().is_empty() || url.path().len() < 2 {
            return None;
        }
        PgConnectOptions::from_str(text).ok().map(|options| (text.to_owned(), options))
    };
    if let Some(text) = set(name, variable) {
        let message = format!("the environment variable {name} is not the URL of a PostgreSQL database and role");
        return parse(&text)
            .map(Some)
            .ok_or_else(|| SettingsError { help: Some(HELP.to_owned()), ..SettingsError::plain(message) });
    }
    let Some(setting) = setting else { return Ok(None) };
    let fault = || Fault::new(setting.span(), "this is not the URL of a PostgreSQL database and role").help(HELP);
    parse(setting.as_ref()).map(Some).ok_or_else(|| at(fault()))
}

fn tables(table: &DatabaseTable) -> Result<Vec<Table>, Fault> {
    let general = table.tenant_column.as_ref();
    let general = general.map_or(Ok("tenant_id".to_owned()), |name| words(name, "a column"))?;
    let mut tables: Vec<Table> = Vec::new();
    for entry in &table.tables {
        let name = words(&entry.name, "a table")?;
        if tables.iter().any(|known| known.name == name) {
            return Err(Fault::new(entry.name.span(), format!("the table `{name}` is named twice")));
        }
        let own = entry.tenant_column.as_ref().map(|column| words(column, "a column")).transpose()?;
        let tenant_column = match (entry.access, own) {
            (Access::Shared, Some(_)) => {
                return Err(Fault::new(entry.name.span(), "a shared table belongs to no tenant")
                    .help("leave out `tenant_column`, or take another `access`"));
            }
            (Access::Shared, None) => None,
            (_, own) => Some(own.unwrap_or_else(|| general.clone())),
        };
        tables.push(Table { name, tenant_column, access: entry.access });
    }
    Ok(tables)
}

const KEYS: Maker<Key> = Maker {
    make: |id, secret| {
        if secret.len() < KEY_BYTES {
            return Err(format!("the key has {} bytes, and needs {KEY_BYTES}", secret.len()));
        }
        Key::new(id, secret).ok_or_else(|| "the key's id is not one".to_owned())
    },
    help: "an id is 1 to 32 letters, digits, `-` and `_`, and a key at least 32 random bytes, hexadecimal or base64, \
           as `openssl rand -hex 32` prints",
};
