//! Embeds the host in an application: opens it with settings made in code, gives
//! scripts a service of the application, and runs a tenant's script.
//!
//! ```sh
//! cargo run --example embed
//! ```

use std::collections::BTreeMap;
use std::sync::Mutex;

use airlock::capabilities::services::{Service, ServiceError};
use airlock::host::{Host, Run};
use airlock::runtime::limits::Limits;
use airlock::settings::{Settings, TenantSettings};
use airlock::tenant::{Execution, Identity, Script, Tenant, User};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// What a tenant wrote.
const SCRIPT: &str = "
    async function main(order) {
        try {
            return await services.stock.reserve(order.article, order.quantity);
        } catch (error) {
            if (error.code !== 'sold_out') throw error;
            return { reserved: 0, reason: error.message };
        }
    }
";

/// The application's own code: how many pieces there are of each article, by
/// tenant and article.
struct Stock(Mutex<BTreeMap<(String, String), u64>>);

impl Stock {
    fn reserve(&self, tenant: &str, arguments: &[Value]) -> Result<Value, ServiceError> {
        // The arguments are the script's, so each is looked at; the tenant is not.
        let [Value::String(article), quantity] = arguments else {
            return Err(ServiceError::new("bad_arguments", "stock.reserve takes an article and a quantity"));
        };
        let quantity = quantity.as_u64().ok_or_else(|| ServiceError::new("bad_arguments", "a quantity is a whole number"))?;
        let mut pieces = self.0.lock().map_err(ServiceError::internal)?;
        match pieces.get_mut(&(tenant.to_owned(), article.clone())) {
            Some(left) if *left >= quantity => {
                *left -= quantity;
                Ok(json!({ "reserved": quantity, "left": *left }))
            }
            _ => Err(ServiceError::new("sold_out", format!("there are not {quantity} of {article}"))),
        }
    }
}

impl Service for Stock {
    fn call<'a>(
        &'a self,
        caller: &'a Identity,
        method: &'a str,
        arguments: Vec<Value>,
    ) -> BoxFuture<'a, Result<Value, ServiceError>> {
        Box::pin(async move {
            match method {
                "reserve" => self.reserve(&caller.tenant.id, &arguments),
                _ => Err(ServiceError::unknown_method(method, &["reserve"])),
            }
        })
    }
}

/// Runs the script for an order. Answers what it returned, as JSON.
pub async fn run(order: Value) -> Result<String, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let acme = Tenant { id: "acme".into(), name: "Acme Outdoor".into() };
    let settings = Settings {
        data: folder.path().to_owned(),
        limits: Limits { timeout: 2_000, ..Limits::default() },
        tenants: vec![TenantSettings { tenant: acme.clone(), schema: None, seed: None, quotas: None }],
        ..Settings::default()
    };
    let stock = Stock(Mutex::new(BTreeMap::from([(("acme".into(), "tent".into()), 5)])));
    let host = Host::builder(settings).service("stock", stock).open().await?;

    // Compile a script once, and call it as often as you like.
    let program = host.compile("order.js", SCRIPT).await?;

    // For whom it runs is the application's to say.
    let identity = Identity {
        tenant: acme,
        user: Some(User { id: "maya".into(), ..User::default() }),
        script: Script { id: "order".into(), name: "order".into(), kind: "embedded".into(), file: "order.js".into() },
        execution: Execution { id: "1".into(), triggered_by: "api".into() },
    };
    let outcome = host.run(&program, Run { input: Some(order.to_string()), ..Run::new(identity) }).await?;

    for line in &outcome.logs {
        eprintln!("{}", line.get());
    }
    match (outcome.result, outcome.error) {
        (Some(result), _) => Ok(result.get().to_owned()),
        (None, error) => Err(error.map_or_else(String::new, |error| format!("{}: {}", error.name, error.message)).into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", run(json!({ "article": "tent", "quantity": 2 })).await?);
    println!("{}", run(json!({ "article": "tent", "quantity": 9 })).await?);
    Ok(())
}
