//! The application's services, by name: `await services.clients.list()`.
//!
//! A service is made of one of the tenant's tables, it is a backend behind HTTP,
//! it is one that Airlock brings along, or one that an application which embeds
//! the host has registered. Which there are, the operator says:
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
//!
//! [services.billing]
//! kind = "http"
//! url = "https://billing.internal/api"
//! signing_key = "…"
//! [services.billing.methods]
//! charge = { path = "/charges", idempotent = true }
//! ```

mod host;
mod json;
pub mod notifications;
mod options;
pub mod remote;
mod service;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value as Json;

use self::notifications::Notifications;
use self::remote::{Backend, Endpoint};
pub use self::service::{Service, ServiceError};
use self::table::Table;
use crate::capabilities::db::{self, Access};
use crate::capabilities::grant::{self, Allowed, Entry, shown};
use crate::capabilities::http;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::runtime::trace::Trace;
use crate::settings::{ServiceKind, ServiceSettings};
use crate::spelling::closest;
use crate::tenant::permission::{Mode, Needs};
use crate::tenant::{Identity, User};

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

/// Who calls, and in which trace.
#[derive(Clone, Copy)]
struct Caller<'a> {
    identity: &'a Identity,
    trace: Option<Trace>,
}

/// What the process owns. Cheap to clone.
#[derive(Clone)]
pub struct Process(Arc<Services>);

struct Services {
    known: BTreeMap<String, Known>,
    /// The permissions that calling them needs, by name.
    needs: BTreeMap<String, Needs>,
    db: db::Process,
    notifications: Notifications,
    /// For the backends behind HTTP.
    client: reqwest::Client,
}

/// What a service is made of.
enum Known {
    Table(Table),
    Notifications,
    Remote(Box<Backend>),
    Custom(Arc<dyn Service>),
}

/// Why a call of a service came to nothing.
enum Refused {
    /// The host refused it.
    Failure(Failure),
    /// The service did.
    Service(ServiceError),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused::Failure(failure)
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Refused {
        Refused::Service(error)
    }
}

impl Process {
    /// `custom` are the services of an application that embeds the host. Fails
    /// where one of them has the name of another service.
    pub fn new(
        settings: &BTreeMap<String, ServiceSettings>,
        custom: BTreeMap<String, Arc<dyn Service>>,
        db: db::Process,
        notifications: Notifications,
    ) -> anyhow::Result<Process> {
        let mut known = known(settings);
        let needs = settings.iter().map(|(name, settings)| (name.clone(), settings.needs.clone())).collect();
        for (name, service) in custom {
            anyhow::ensure!(!known.contains_key(&name), "there is a service `{name}` in the settings already");
            known.insert(name, Known::Custom(service));
        }
        Ok(Process(Arc::new(Services { known, needs, db, notifications, client: http::backend_client()? })))
    }

    /// Refuses a service that the script was not granted, and a method that its
    /// user lacks the permission for.
    fn permit(&self, grant: &Grant, user: Option<&User>, service: &str, method: &str) -> Result<(), Failure> {
        // That there is none is said later.
        let Some(known) = self.0.known.get(service) else { return Ok(()) };
        grant.check(|name| name.allows(service), || (format!("the service {service}"), service.to_owned()))?;
        // One of the application's own asks by itself.
        let Some(needs) = self.0.needs.get(service) else { return Ok(()) };
        needs.check(known.mode(method), user, || format!("services.{service}.{}", shown(method)))
    }

    /// Calls a method with a JSON array of arguments; answers JSON text, or what
    /// the service said against it.
    async fn call(
        &self,
        caller: Caller<'_>,
        access: &Access,
        limits: &Arc<Limits>,
        service: &str,
        method: &str,
        arguments: &str,
    ) -> Result<Result<String, ServiceError>, Failure> {
        let arguments = match serde_json::from_str(arguments) {
            Ok(Json::Array(arguments)) => arguments,
            Ok(_) => return Err(Failure::argument("the arguments of a service are a JSON array")),
            Err(reason) => return Err(Failure::argument(format!("the arguments are not JSON: {reason}"))),
        };
        let answer = match self.answer(caller, access, limits, service, method, arguments).await {
            Ok(answer) => answer,
            Err(Refused::Service(error)) => return Ok(Err(error)),
            Err(Refused::Failure(failure)) => return Err(failure),
        };
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Failure::internal("writing the answer of a service", error))?;
        limits.check(Limit::ServiceBytes, answer.len() as u64)?;
        Ok(Ok(answer))
    }

    async fn answer(
        &self,
        caller: Caller<'_>,
        access: &Access,
        limits: &Arc<Limits>,
        service: &str,
        method: &str,
        arguments: Vec<Json>,
    ) -> Result<Json, Refused> {
        let Services { known, db, notifications, client, .. } = &*self.0;
        match find(known, service)? {
            Known::Table(table) => {
                let needs = self.0.needs.get(service).cloned().unwrap_or_default();
                let access = access.of_service(&table.table, &needs);
                Ok(table.call(db, &access, limits, method, arguments).await?)
            }
            Known::Notifications => {
                if method != "sendEmail" {
                    return Err(unknown_method(service, method, &["sendEmail"]).into());
                }
                let mail = arguments.into_iter().next().unwrap_or(Json::Null);
                Ok(notifications.send_email(caller.identity, mail).await?)
            }
            Known::Remote(backend) => backend.call(client, service, caller, limits, method, arguments).await,
            Known::Custom(custom) => {
                let called = async { custom.call(caller.identity, method, arguments).await };
                let answer = AssertUnwindSafe(called).catch_unwind().await;
                Ok(answer.map_err(|_| Failure::internal(&format!("the service `{service}`"), "it panicked"))??)
            }
        }
    }
}

impl Known {
    /// What calling a method does.
    fn mode(&self, method: &str) -> Mode {
        let reads = match self {
            Known::Remote(backend) => backend.methods.get(method).is_some_and(Endpoint::reads),
            _ => matches!(method, "list" | "count" | "get"),
        };
        if reads { Mode::Read } else { Mode::Write }
    }
}

fn known(settings: &BTreeMap<String, ServiceSettings>) -> BTreeMap<String, Known> {
    let made = settings.iter().map(|(name, settings)| {
        let known = match &settings.kind {
            ServiceKind::Notifications => Known::Notifications,
            ServiceKind::Table { table, key } => Known::Table(Table {
                table: table.clone().unwrap_or_else(|| name.clone()),
                key: key.clone().unwrap_or_else(|| "id".to_owned()),
                service: name.clone(),
            }),
            ServiceKind::Http(backend) => Known::Remote(backend.clone()),
        };
        (name.clone(), known)
    });
    made.collect()
}

fn find<'s>(known: &'s BTreeMap<String, Known>, name: &str) -> Result<&'s Known, Failure> {
    known.get(name).ok_or_else(|| {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let hint = match closest(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => "none are set up".to_owned(),
            None => format!("there are: {}", db::list(&names)),
        };
        Failure::argument(format!("there is no service `{}`; {hint}", shown(name)))
    })
}

fn unknown_method(service: &str, method: &str, known: &[&str]) -> Failure {
    let hint = match closest(method, known) {
        Some(meant) => format!("did you mean `{meant}`? There are: {}", db::list(known)),
        None => format!("there are: {}", db::list(known)),
    };
    Failure::argument(format!("the service `{service}` has no method `{}`; {hint}", shown(method)))
}
