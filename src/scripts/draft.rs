//! What an author sets on a script, and the checks of it.

use std::collections::HashSet;
use std::sync::Arc;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Refused, Script};
use crate::capabilities::grant;
use crate::runtime::limits::{Limit, Limits};
use crate::server::route::{Pattern, Route};
use crate::server::webhook::{Rule, Webhook};
use crate::settings::ScriptKind;
use crate::triggers::events::Subscription;
use crate::triggers::schedules::Cron;

/// Characters of a name, and of a description.
const NAME: usize = 100;
const DESCRIPTION: usize = 2000;
/// Characters of what a function or a permission is called.
pub const WORD: usize = 200;
/// Words that begin a path below `/api/custom`, which the host keeps for itself;
/// so are all that begin with `_`.
const RESERVED: [&str; 2] = ["airlock", ".well-known"];

/// What an author sets on a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Unique in the tenant: letters, digits, spaces, `-`, `_` and `.`.
    #[schema(max_length = 100, pattern = r"^[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N} ._-]*$")]
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ScriptKind,
    #[serde(default)]
    #[schema(max_length = 2000, pattern = r"^[^\u0000]*$")]
    pub description: String,
    /// The function to call. Null leaves it to the script's exports.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\s\u0000-\u001F\u007F-\u009F]+$")]
    pub entry: Option<String>,
    /// The service account that it runs as where no user calls. Setting it needs
    /// the permission `Script.Grant`.
    #[serde(default)]
    #[schema(max_length = 512, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")]
    pub run_as: Option<String>,
    #[serde(default)]
    pub limits: OwnLimits,
    /// What it may use, by list: `tables`, `services`, `events`, `http`,
    /// `secrets`, `capabilities`. A list that is left out is left to what the
    /// script declares; `http` and `secrets` are not.
    #[serde(default)]
    #[schema(value_type = grant::Shown)]
    pub grants: grant::Lists,
    /// For scripts of the type `http`.
    #[serde(default)]
    pub http: Option<Http>,
    /// For scripts of the type `cron`.
    #[serde(default)]
    pub cron: Option<Cron>,
    /// For scripts of the type `event`.
    #[serde(default)]
    pub event: Option<Subscription>,
}

/// Limits of its own, no wider than the host's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OwnLimits {
    /// Such as `5s`.
    pub timeout: Option<String>,
    /// Such as `64MiB`.
    pub memory: Option<String>,
    #[schema(minimum = 1)]
    pub fuel: Option<u64>,
}

/// What an HTTP script answers to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Below `/api/custom`, such as `/orders/{id}`. Null: a slash and the name.
    #[schema(pattern = "^/[^/]")]
    pub path: Option<String>,
    /// GET, POST, PUT, PATCH and DELETE. Null: GET and POST.
    #[schema(min_items = 1)]
    pub methods: Option<Vec<String>>,
    /// What a user needs to call it.
    #[schema(max_length = 200, pattern = r"^[^\s\u0000-\u001F\u007F-\u009F]+$")]
    pub permission: Option<String>,
    /// Whether a call needs no user.
    pub public: bool,
    /// The signature that a call needs instead of a user. Setting it needs the
    /// permission `Script.Grant`.
    pub webhook: Option<Webhook>,
}

impl Draft {
    /// Brings the text of entries, methods and the like into one form, or says
    /// what is wrong. `accounts` are the ids that `run_as` may name.
    pub fn check(mut self, general: &Limits, accounts: &[&str]) -> Result<Draft, Refused> {
        let invalid = |field: &str, message: String| Refused::Invalid { field: field.to_owned(), message };
        if !is_name(&self.name) {
            return Err(invalid(
                "name",
                format!(
                    "A name has 1 to {NAME} letters, digits, spaces, `-`, `_` and `.`, begins with a letter or digit \
                     and is no UUID."
                ),
            ));
        }
        if self.description.chars().count() > DESCRIPTION || self.description.contains('\0') {
            return Err(invalid("description", format!("A description has at most {DESCRIPTION} characters.")));
        }
        if let Some(entry) = &self.entry
            && !is_word(entry)
        {
            return Err(invalid("entry", "This is not the name of a function.".into()));
        }
        if let Some(id) = &self.run_as
            && !accounts.contains(&id.as_str())
        {
            return Err(invalid("run_as", "The host's settings have no such service account.".into()));
        }
        self.limits(general)?;
        for (list, entries) in &mut self.grants {
            let field = format!("grants.{list}");
            if !grant::LISTS.contains(&list.as_str()) {
                return Err(invalid("grants", format!("The lists are {}.", grant::LISTS.join(", "))));
            }
            if entries.len() > grant::ENTRIES {
                return Err(invalid(&field, format!("A list has {} entries at most.", grant::ENTRIES)));
            }
            for (index, entry) in entries.iter_mut().enumerate() {
                *entry = grant::read(list, entry)
                    .map_err(|reason| invalid(&format!("{field}[{index}]"), format!("This is no entry: {reason}.")))?;
            }
        }
        let settings = [
            ("http", self.http.is_some(), ScriptKind::Http),
            ("cron", self.cron.is_some(), ScriptKind::Cron),
            ("event", self.event.is_some(), ScriptKind::Event),
        ];
        if let Some((field, ..)) = settings.iter().find(|(_, is_set, kind)| *is_set && *kind != self.kind) {
            return Err(invalid(field, format!("This is for scripts of the type `{field}`.")));
        }
        match self.kind {
            ScriptKind::Http => self.http = Some(self.checked_http()?),
            ScriptKind::Cron => {
                let cron = self.cron.as_ref().ok_or_else(|| {
                    invalid("cron", "Say when it runs, as in `{\"schedule\": \"0 9 * * *\"}`.".into())
                })?;
                cron.check().map_err(|wrong| invalid(&format!("cron.{}", wrong.field), wrong.message))?;
            }
            ScriptKind::Event => {
                let event = self.event.clone().unwrap_or_default();
                event.check().map_err(|(field, message)| invalid(&format!("event.{field}"), message))?;
            }
            ScriptKind::Oneoff | ScriptKind::Embedded => {}
        }
        Ok(self)
    }

    fn checked_http(&self) -> Result<Http, Refused> {
        let invalid = |field: &str, message: String| Refused::Invalid { field: format!("http.{field}"), message };
        let mut http = self.http.clone().unwrap_or_default();
        let path = http.path.clone().unwrap_or_else(|| format!("/{}", self.name));
        let pattern = Pattern::parse(&path).map_err(|reason| invalid("path", format!("This is no path: {reason}.")))?;
        if let Some(first) = pattern.first()
            && (first.starts_with('_') || RESERVED.contains(&first.to_lowercase().as_str()))
        {
            return Err(invalid("path", format!("The host keeps paths that begin with `/{first}` for itself.")));
        }
        http.path = Some(pattern.to_string());
        let methods = http.methods.take().unwrap_or_else(|| vec!["GET".into(), "POST".into()]);
        let mut seen = Vec::new();
        for (index, name) in methods.iter().enumerate() {
            let method = method(name).ok_or_else(|| {
                invalid(&format!("methods[{index}]"), "The methods are GET, POST, PUT, PATCH and DELETE.".into())
            })?;
            if !seen.contains(&method.to_string()) {
                seen.push(method.to_string());
            }
        }
        if seen.is_empty() {
            return Err(invalid("methods", "A script without methods is never called.".into()));
        }
        http.methods = Some(seen);
        if let Some(permission) = &http.permission {
            if !is_word(permission) {
                return Err(invalid("permission", "This is not a permission, such as `orders.view`.".into()));
            }
            if http.public {
                return Err(invalid("permission", "A public script has callers without permissions.".into()));
            }
        }
        if let Some(webhook) = &http.webhook {
            webhook.check().map_err(|(field, message)| invalid(&format!("webhook.{field}"), message))?;
            if http.public || http.permission.is_some() {
                let message =
                    "A webhook is called with a signature and by no user; leave out `public` and `permission`.";
                return Err(invalid("webhook", message.into()));
            }
        }
        Ok(http)
    }

    /// The general limits with its own over them.
    pub fn limits(&self, general: &Limits) -> Result<Limits, Refused> {
        let invalid =
            |limit: Limit, message: String| Refused::Invalid { field: format!("limits.{}", limit.name()), message };
        let fuel = self.limits.fuel.map(|fuel| fuel.to_string());
        let mut limits = general.clone();
        for (limit, text) in
            [(Limit::Timeout, &self.limits.timeout), (Limit::Memory, &self.limits.memory), (Limit::Fuel, &fuel)]
        {
            let Some(text) = text else { continue };
            let value = limit.parse(text).map_err(|reason| invalid(limit, format!("This is no limit: {reason}.")))?;
            let most = general.get(limit);
            let endless = limit == Limit::Fuel && most == 0;
            if value == 0 || value > most && !endless {
                let most =
                    if endless { String::new() } else { format!(" and at most the host's {}", limit.show(most)) };
                return Err(invalid(limit, format!("This must be more than 0{most}.")));
            }
            limits.set(limit, value);
        }
        Ok(limits)
    }

    /// What lets it be called without a user, if a signature does.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.http.as_ref()?.webhook.as_ref()
    }

    /// What it answers to over HTTP. Of a draft that was checked.
    pub fn route(&self) -> Option<Route> {
        let http = self.http.as_ref()?;
        let pattern = Pattern::parse(http.path.as_deref()?).ok()?;
        Some(Route { pattern, methods: http.methods.iter().flatten().filter_map(|name| method(name)).collect() })
    }

    /// The script that calls need, of a draft that was checked.
    pub fn script(&self, id: &str, general: &Limits) -> Script {
        let http = self.http.clone().unwrap_or_default();
        let webhook: Option<Rule> = self.webhook().and_then(|webhook| webhook.check().ok());
        Script {
            id: id.to_owned(),
            name: self.name.clone(),
            file: self.file(),
            kind: self.kind,
            enabled: true,
            version: None,
            entry: self.entry.clone(),
            route: self.route(),
            event: self.event.clone(),
            cron: self.cron.clone(),
            grants: self.grants.clone(),
            grant: None,
            run_as: self.run_as.clone(),
            // The host's may have become narrower since.
            limits: self.limits(general).unwrap_or_else(|_| general.clone()),
            permission: http.permission,
            public: http.public || webhook.is_some(),
            webhook: webhook.map(Arc::new),
        }
    }

    /// The name that stacks show.
    pub fn file(&self) -> String {
        format!("{}.js", self.name)
    }
}

/// Whether a script can have the name.
pub fn is_name(name: &str) -> bool {
    name.chars().count() <= NAME
        && name.starts_with(char::is_alphanumeric)
        && !name.ends_with(' ')
        && name.chars().all(|c| c.is_alphanumeric() || " -_.".contains(c))
        // Paths name scripts by either.
        && uuid::Uuid::try_parse(name).is_err()
}

/// Whether a function or a permission can have the name.
pub fn is_word(text: &str) -> bool {
    (1..=WORD).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn method(name: &str) -> Option<Method> {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name))
}

/// The routes of one script, as rows that no other script of the tenant has:
/// paths with `{}` for each parameter, and methods.
pub fn rows(route: &Route) -> HashSet<(String, String)> {
    route.methods.iter().map(|method| (route.pattern.anonymous(), method.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(draft: &Value) -> Result<Draft, String> {
        let draft: Draft = serde_json::from_value(draft.clone()).map_err(|reason| reason.to_string())?;
        let general = Limits { fuel: 1000, ..Limits::default() };
        draft.check(&general, &["nightly"]).map_err(|refused| match refused {
            Refused::Invalid { field, message } => format!("{field}: {message}"),
            other => other.to_string(),
        })
    }

    #[test]
    fn a_sound_draft_comes_back_in_one_form() {
        let draft = json!({
            "name": "Order report", "type": "http", "run_as": "nightly", "limits": { "timeout": "5s", "fuel": 10 },
            "grants": { "tables": ["orders(read)"] }, "http": { "path": "/orders/:id", "methods": ["get", "GET"] },
        });
        let draft = check(&draft).unwrap();
        assert_eq!(draft.grants["tables"], ["orders (read)"]);
        let http = draft.http.clone().unwrap();
        assert_eq!((http.path.as_deref(), http.methods), (Some("/orders/{id}"), Some(vec!["GET".to_owned()])));
        assert_eq!(draft.limits(&Limits::default()).unwrap().timeout, 5000);
        assert_eq!(check(&serde_json::to_value(&draft).unwrap()), Ok(draft), "its own form is sound");
        for sound in [
            json!({ "name": "a", "type": "cron", "cron": { "schedule": "0 9 * * 1-5" } }),
            json!({ "name": "a", "type": "event", "event": { "events": ["order.*"] } }),
            json!({ "name": "Ärger.v2", "type": "embedded" }),
            json!({ "name": "a", "type": "oneoff", "description": "x".repeat(DESCRIPTION) }),
        ] {
            assert!(check(&sound).is_ok(), "{sound}: {:?}", check(&sound));
        }
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (draft, expected) in [
            (json!({ "name": "", "type": "embedded" }), "name:"),
            (json!({ "name": "a/b", "type": "embedded" }), "name:"),
            (json!({ "name": " a", "type": "embedded" }), "name:"),
            (json!({ "name": "x".repeat(NAME + 1), "type": "embedded" }), "name:"),
            (json!({ "name": "0199d2a0-0000-7000-8000-000000000000", "type": "embedded" }), "name:"),
            (json!({ "name": "a", "type": "embedded", "description": "x".repeat(DESCRIPTION + 1) }), "description:"),
            (json!({ "name": "a", "type": "embedded", "entry": "" }), "entry:"),
            (json!({ "name": "a", "type": "embedded", "run_as": "root" }), "run_as:"),
            (json!({ "name": "a", "type": "embedded", "limits": { "timeout": "soon" } }), "limits.timeout:"),
            (json!({ "name": "a", "type": "embedded", "limits": { "timeout": "31s" } }), "limits.timeout:"),
            (json!({ "name": "a", "type": "embedded", "limits": { "timeout": "0s" } }), "limits.timeout:"),
            (json!({ "name": "a", "type": "embedded", "limits": { "memory": "1GiB" } }), "limits.memory:"),
            (json!({ "name": "a", "type": "embedded", "limits": { "fuel": 1001 } }), "limits.fuel:"),
            (json!({ "name": "a", "type": "embedded", "grants": { "table": [] } }), "grants:"),
            (json!({ "name": "a", "type": "embedded", "grants": { "tables": ["a", "b c"] } }), "grants.tables[1]:"),
            (json!({ "name": "a", "type": "embedded", "http": {} }), "http:"),
            (json!({ "name": "a b", "type": "http" }), "http.path:"),
            (json!({ "name": "a", "type": "http", "http": { "path": "a" } }), "http.path:"),
            (json!({ "name": "a", "type": "http", "http": { "path": "/_a" } }), "http.path:"),
            (json!({ "name": "a", "type": "http", "http": { "path": "/Airlock/a" } }), "http.path:"),
            (json!({ "name": "a", "type": "http", "http": { "methods": [] } }), "http.methods:"),
            (json!({ "name": "a", "type": "http", "http": { "methods": ["GET", "HEAD"] } }), "http.methods[1]:"),
            (json!({ "name": "a", "type": "http", "http": { "permission": "a", "public": true } }), "http.permission:"),
            (
                json!({ "name": "a", "type": "http", "http": { "webhook": { "scheme": "stripe", "secrets": [] } } }),
                "http.webhook.secrets:",
            ),
            (
                json!({ "name": "a", "type": "http", "http": { "webhook": { "scheme": "hmac", "secrets": ["A"] } } }),
                "http.webhook.header:",
            ),
            (
                json!({ "name": "a", "type": "http", "http": { "public": true, "webhook": { "scheme": "slack", "secrets": ["A"] } } }),
                "http.webhook:",
            ),
            (json!({ "name": "a", "type": "cron" }), "cron:"),
            (json!({ "name": "a", "type": "cron", "cron": { "schedule": "61 9 * * *" } }), "cron.schedule:"),
            (json!({ "name": "a", "type": "cron", "cron": { "schedule": "* * * * * *" } }), "cron.schedule:"),
            (json!({ "name": "a", "type": "event" }), "event.events:"),
            (
                json!({ "name": "a", "type": "cron", "cron": { "schedule": "0 9 * * *", "timezone": "Mars" } }),
                "cron.timezone:",
            ),
            (json!({ "name": "a", "type": "event", "event": { "events": [] } }), "event.events:"),
            (json!({ "name": "a", "type": "event", "event": { "events": ["a"], "attempts": 0 } }), "event.attempts:"),
            (json!({ "name": "a", "type": "event", "event": { "events": ["a b"] } }), "event.events[0]:"),
            (json!({ "name": "a", "type": "embeded" }), "unknown variant"),
            (json!({ "name": "a", "type": "embedded", "entri": "a" }), "unknown field"),
        ] {
            let refused = check(&draft).expect_err(&draft.to_string());
            assert!(refused.starts_with(expected), "{draft}: {refused}");
        }
    }
}
