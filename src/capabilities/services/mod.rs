//! The application's services, by name: `await services.clients.list()`.
//!
//! A service is made of one of the tenant's tables, or it is one that Airlock
//! brings along. Which there are, the operator says:
//!
//! ```toml
//! [services.clients]          # the table `clients` with the key `id`
//!
//! [services.customers]
//! table = "crm_customers"
//! key = "number"
//!
//! [services.notifications]
//! kind = "notifications"
//! ```

mod host;
mod json;
pub mod notifications;
mod options;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value as Json;

use self::notifications::Notifications;
use self::table::Table;
use crate::capabilities::db::{self, Access};
use crate::capabilities::grant::{self, Allowed, Entry, shown};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::tenant::permission::{Mode, Needs};
use crate::tenant::{Identity, User};

/// What `[services.<name>]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub kind: Kind,
    /// The table; by default of the service's own name.
    pub table: Option<String>,
    /// The column that `get`, `update` and `delete` find a row by; by default `id`.
    pub key: Option<String>,
    /// The permissions that calling it needs.
    #[serde(skip)]
    pub needs: Needs,
}

/// The services that a script may call.
pub type Grant = Allowed<Name>;

/// A service by its name, or `*` for every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn allows(&self, service: &str) -> bool {
        self.0 == "*" || self.0 == service
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        match text == "*" || grant::is_name(text) {
            true => Ok(Name(text.to_owned())),
            false => Err(format!("`{text}` is not a service; write its name, or `*` for every one")),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Entry for Name {
    const LIST: &'static str = "services";

    fn covers(&self, other: &Name) -> bool {
        self.allows(&other.0)
    }
}

/// What a service is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Table,
    Notifications,
}

/// What the process owns.
pub struct Process(Arc<Services>);

struct Services {
    known: BTreeMap<String, Service>,
    /// The permissions that calling them needs, by name.
    needs: BTreeMap<String, Needs>,
    db: db::Process,
    notifications: Notifications,
}

enum Service {
    Table(Table),
    Notifications,
}

impl Process {
    pub fn new(settings: BTreeMap<String, Settings>, db: db::Process, notifications: Notifications) -> Process {
        let needs = settings.iter().map(|(name, settings)| (name.clone(), settings.needs.clone())).collect();
        Process(Arc::new(Services { known: known(settings), needs, db, notifications }))
    }
}

fn known(settings: BTreeMap<String, Settings>) -> BTreeMap<String, Service> {
    settings
        .into_iter()
        .map(|(name, settings)| {
            let service = match settings.kind {
                Kind::Notifications => Service::Notifications,
                Kind::Table => Service::Table(Table {
                    table: settings.table.unwrap_or_else(|| name.clone()),
                    key: settings.key.unwrap_or_else(|| "id".to_owned()),
                    service: name.clone(),
                }),
            };
            (name, service)
        })
        .collect()
}

fn find<'s>(known: &'s BTreeMap<String, Service>, name: &str) -> Result<&'s Service, Failure> {
    known.get(name).ok_or_else(|| {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let hint = match db::closest(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => "none are set up".to_owned(),
            None => format!("there are: {}", db::list(&names)),
        };
        Failure::argument(format!("there is no service `{}`; {hint}", shown(name)))
    })
}

impl Services {
    /// Refuses a service that the script was not granted, and a method that its
    /// user lacks the permission for.
    fn permit(&self, grant: &Grant, user: Option<&User>, service: &str, method: &str) -> Result<(), Failure> {
        // That there is none is said later.
        let Some(needs) = self.needs.get(service) else { return Ok(()) };
        grant
            .check(|name| name.allows(service), || (format!("the service {service}"), service.to_owned()))
            .and_then(|()| needs.check(mode(method), user, || format!("services.{service}.{}", shown(method))))
    }

    /// Calls a method with a JSON array of arguments; answers JSON text.
    async fn call(
        &self,
        identity: &Identity,
        access: &Access,
        limits: &Arc<Limits>,
        service: &str,
        method: &str,
        arguments: &str,
    ) -> Result<String, Failure> {
        let arguments = match serde_json::from_str(arguments) {
            Ok(Json::Array(arguments)) => arguments,
            Ok(_) => return Err(Failure::argument("the arguments of a service are a JSON array")),
            Err(reason) => return Err(Failure::argument(format!("the arguments are not JSON: {reason}"))),
        };
        let answer = match find(&self.known, service)? {
            Service::Table(table) => {
                let needs = self.needs.get(service).cloned().unwrap_or_default();
                let access = access.of_service(&table.table, &needs);
                table.call(&self.db, &access, limits, method, arguments).await?
            }
            Service::Notifications => {
                if method != "sendEmail" {
                    return Err(unknown_method(service, method, &["sendEmail"]));
                }
                let mail = arguments.into_iter().next().unwrap_or(Json::Null);
                self.notifications.send_email(identity, mail).await?
            }
        };
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Failure::internal("writing the answer of a service", error))?;
        limits.check(Limit::ServiceBytes, answer.len() as u64)?;
        Ok(answer)
    }
}

fn unknown_method(service: &str, method: &str, known: &[&str]) -> Failure {
    let hint = match db::closest(method, known) {
        Some(meant) => format!("did you mean `{meant}`? There are: {}", db::list(known)),
        None => format!("there are: {}", db::list(known)),
    };
    Failure::argument(format!("the service `{service}` has no method `{}`; {hint}", shown(method)))
}

/// What calling a method does.
fn mode(method: &str) -> Mode {
    match method {
        "list" | "count" | "get" => Mode::Read,
        _ => Mode::Write,
    }
}
