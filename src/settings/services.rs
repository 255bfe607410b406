//! `[services.*]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use super::file::{self, Scalar};
use super::{ServiceKind, ServiceSettings};
use crate::capabilities::services::remote::{Backend, Endpoint, SigningKey};
use crate::tenant::permission::Needs;

/// Attempts beyond this only keep a backend down that is down.
const MAX_RETRIES: u64 = 10;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServiceTable {
    kind: Kind,
    table: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    signing_key: Option<Spanned<String>>,
    timeout: Option<Spanned<Scalar>>,
    retries: Option<Spanned<Scalar>>,
    methods: Option<Spanned<BTreeMap<Spanned<String>, MethodTable>>>,
    read: Option<String>,
    write: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Table,
    Notifications,
    Http,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MethodTable {
    method: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    #[serde(default)]
    idempotent: bool,
}

pub(super) fn settings(
    name: &Spanned<String>,
    given: &Spanned<ServiceTable>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<ServiceSettings, Fault> {
    let table = given.as_ref();
    for (key, kind, span) in [
        ("table", Kind::Table, table.table.as_ref().map(Spanned::span)),
        ("key", Kind::Table, table.key.as_ref().map(Spanned::span)),
        ("url", Kind::Http, table.url.as_ref().map(Spanned::span)),
        ("signing_key", Kind::Http, table.signing_key.as_ref().map(Spanned::span)),
        ("timeout", Kind::Http, table.timeout.as_ref().map(Spanned::span)),
        ("retries", Kind::Http, table.retries.as_ref().map(Spanned::span)),
        ("methods", Kind::Http, table.methods.as_ref().map(Spanned::span)),
    ] {
        if let Some(span) = span.filter(|_| kind != table.kind) {
            let kind = if kind == Kind::Http { "http" } else { "table" };
            return Err(Fault::new(span, format!("`{key}` is for services of the kind `{kind}`"))
                .help(format!("add `kind = \"{kind}\"`, or leave it out")));
        }
    }
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.as_ref().clone());
    let kind = match table.kind {
        Kind::Table => ServiceKind::Table { table: text(&table.table), key: text(&table.key) },
        Kind::Notifications => ServiceKind::Notifications,
        Kind::Http => ServiceKind::Http(Box::new(backend(name, table, variable)?)),
    };
    Ok(ServiceSettings { kind, needs: Needs { read: table.read.clone(), write: table.write.clone() } })
}

fn backend(
    name: &Spanned<String>,
    table: &ServiceTable,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Backend, Fault> {
    let named = name.as_ref();
    let Some(url) = &table.url else {
        return Err(Fault::new(name.span(), format!("the service `{named}` has no `url`"))
            .help("write it as `url = \"https://shop.internal/api\"`"));
    };
    let in_environment = format!("AIRLOCK_SERVICES_{}_SIGNING_KEY", named.to_ascii_uppercase());
    let fault = |message: String| Fault::new(name.span(), message);
    let key = match (variable(&in_environment).filter(|text| !text.is_empty()), &table.signing_key) {
        (Some(text), _) => SigningKey::new(&text)
            .map_err(|reason| fault(format!("the environment variable {in_environment}: {reason}")))?,
        // Points at the name: the place of the key is printed.
        (None, Some(text)) => SigningKey::new(text.as_ref()).map_err(fault)?,
        (None, None) => {
            return Err(fault(format!("the service `{named}` has no `signing_key`")).help(format!(
                "requests are signed, so that the backend can tell them from others; set it, or {in_environment}"
            )));
        }
    };
    let mut backend = Backend::new(url.as_ref(), key).map_err(|reason| Fault::new(url.span(), reason))?;
    file::duration(&table.timeout, &mut backend.timeout)?;
    if let Some(retries) = file::count(&table.retries, 0..=MAX_RETRIES)? {
        backend.retries = retries as u32;
    }
    for (name, given) in table.methods.iter().flat_map(|methods| methods.as_ref()) {
        if !file::is_identifier(name.as_ref()) || matches!(name.as_ref().as_str(), "then" | "toJSON") {
            return Err(Fault::new(name.span(), format!("`{}` cannot be a method's name", name.as_ref()))
                .help("scripts write it as `services.shop.name()`: use letters, digits and `_`, and not `then`"));
        }
        let method = given.method.as_ref().map_or("POST", |method| method.as_ref().as_str());
        let path = given.path.as_ref().map_or_else(|| format!("/{}", name.as_ref()), |path| path.as_ref().clone());
        let span = given.path.as_ref().or(given.method.as_ref()).unwrap_or(name).span();
        let endpoint = Endpoint::new(method, &path, given.idempotent).map_err(|reason| Fault::new(span, reason))?;
        backend = backend.with(name.as_ref(), endpoint);
    }
    if backend.methods.is_empty() {
        return Err(fault(format!("the service `{named}` has no methods"))
            .help(format!("name those that scripts may call, as in `[services.{named}.methods]` and `charge = {{ path = \"/charges\" }}`")));
    }
    Ok(backend)
}
