//! Embeds the host in an application: opens it with settings made in code, gives
//! scripts a service of the application, and runs a tenant's script.
//!
//! ```sh
//! cargo run --example embed
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use airlock::capabilities::grant::{Lists, Operator};
use airlock::capabilities::services::{Service, ServiceError};
use airlock::host::{self, Host, Run};
use airlock::runtime::limits::Limits;
use airlock::settings::{Settings, TenantSettings};
use airlock::tenant::quota::Quotas;
use airlock::tenant::{Execution, Identity, Script, Tenant, User};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// What a tenant wrote.
const SCRIPT: &str = "// @airlock services: stock
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
        let quantity =
            quantity.as_u64().ok_or_else(|| ServiceError::new("bad_arguments", "a quantity is a whole number"))?;
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

/// Runs the script for each order, with its databases in the folder `data`.
/// Answers what it returned, as JSON.
pub async fn run(data: &Path, orders: &[Value]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let acme = Tenant { id: "acme".into(), name: "Acme Outdoor".into() };
    let settings = Settings {
        data: data.to_owned(),
        limits: Limits { timeout: 2_000, ..Limits::default() },
        quotas: Quotas { calls_per_minute: 600, ..Quotas::default() },
        tenants: vec![TenantSettings { tenant: acme.clone(), schema: None, seed: None, quotas: None }],
        ..Settings::default()
    };
    let stock = Stock(Mutex::new(BTreeMap::from([(("acme".into(), "tent".into()), 5)])));
    let host = Host::builder(settings).service("stock", stock).open().await?;

    // A script is compiled once and called as often as there is something to do.
    let program = host.compile("order.js", SCRIPT).await?;
    // It may use what it declares, hosts and secrets excepted: those would be listed.
    let grant = Arc::new(host::grant(&program, Operator::Settings(&Lists::default()))?);
    let mut answers = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        // For whom it runs is the application's to say.
        let identity = Identity {
            tenant: acme.clone(),
            user: Some(User { id: "maya".into(), ..User::default() }),
            script: Script {
                id: "order".into(),
                name: "order".into(),
                kind: "embedded".into(),
                file: "order.js".into(),
            },
            execution: Execution { id: number.to_string(), triggered_by: "api".into(), cause: None },
        };
        let run = Run { input: Some(order.to_string()), grant: grant.clone(), ..Run::new(identity) };
        let outcome = host.run(&program, run).await?;
        for line in &outcome.logs {
            eprintln!("{}", line.get());
        }
        match (outcome.result, outcome.error) {
            (Some(result), _) => answers.push(result.get().to_owned()),
            (None, error) => return Err(error.map_or_else(String::new, |error| error.message).into()),
        }
    }
    Ok(answers)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let orders = [json!({ "article": "tent", "quantity": 2 }), json!({ "article": "tent", "quantity": 9 })];
    let data = tempfile::tempdir()?;
    for answer in run(data.path(), &orders).await? {
        println!("{answer}");
    }
    Ok(())
}
