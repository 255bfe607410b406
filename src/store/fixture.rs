//! For tests: somebody to call for.

use std::sync::Arc;

use crate::tenant::{Execution, Identity, Script, Tenant, User};

pub fn identity(tenant: &str) -> Arc<Identity> {
    Arc::new(Identity {
        tenant: Tenant { id: tenant.to_owned(), name: "A tenant".to_owned() },
        user: Some(User { id: "user-1".to_owned(), ..User::default() }),
        script: Script {
            id: "script-1".to_owned(),
            name: "nightly".to_owned(),
            kind: "cron".to_owned(),
            file: "nightly.js".to_owned(),
        },
        execution: Execution { id: "execution-1".to_owned(), triggered_by: "cron".to_owned() },
    })
}
