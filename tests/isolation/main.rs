//! Attacks, each by scripts on a whole host: what one tenant does must not reach
//! another, nor what is not the tenants' at all.

#[path = "../support/mod.rs"]
mod support;

mod db;
mod grammar;
mod http;
mod peer;
mod quotas;

use std::sync::Arc;

use airlock::capabilities::Grant;
use airlock::capabilities::grant::Operator;
use airlock::host::Run;
use airlock::tenant::{Execution, Identity, Script, Tenant, User};

fn identity(tenant: &str) -> Identity {
    Identity {
        tenant: Tenant { id: tenant.into(), name: tenant.into() },
        user: Some(User { id: "user-1".into(), ..User::default() }),
        script: Script { id: "attack".into(), name: "attack".into(), kind: "oneoff".into(), file: "attack.js".into() },
        execution: Execution { id: "execution-1".into(), triggered_by: "manual".into(), cause: None },
    }
}

/// A call of a tenant with a JSON argument.
fn call(tenant: &str, input: &serde_json::Value) -> Run {
    // All but hosts and secrets.
    let grant = Arc::new(Grant::new(None, Operator::Developer).unwrap());
    Run { input: Some(input.to_string()), grant, ..Run::new(identity(tenant)) }
}
