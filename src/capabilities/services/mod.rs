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
use std::sync::Arc;

use serde_json::Value as Json;

use self::notifications::Notifications;
use self::table::Table;
use crate::capabilities::db;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::tenant::Identity;

/// What `[services.<name>]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub kind: Kind,
    /// The table; by default of the service's own name.
    pub table: Option<String>,
    /// The column that `get`, `update` and `delete` find a row by; by default `id`.
    pub key: Option<String>,
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
    db: db::Process,
    notifications: Notifications,
}

enum Service {
    Table(Table),
    Notifications,
}

impl Process {
    pub fn new(settings: BTreeMap<String, Settings>, db: db::Process, notifications: Notifications) -> Process {
        Process(Arc::new(Services { known: known(settings), db, notifications }))
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
    /// Calls a method with a JSON array of arguments; answers JSON text.
    async fn call(
        &self,
        identity: &Identity,
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
            Service::Table(table) => table.call(&self.db, &identity.tenant.id, limits, method, arguments).await?,
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

/// What a script called something, fit for a message.
fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(60).collect()
}
