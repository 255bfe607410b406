//! The context as scripts reach it.

use crate::runtime::bindings::airlock::script::context::{Context, Execution, Host, Script, Tenant, User};
use crate::runtime::call::Call;
use crate::tenant::{self, Identity};

impl Host for Call {
    fn get(&mut self) -> wasmtime::Result<Context> {
        Ok(Context::from(&*self.identity))
    }
}

impl From<&Identity> for Context {
    fn from(identity: &Identity) -> Context {
        let tenant::Tenant { id, name } = &identity.tenant;
        let tenant = Tenant { id: id.clone(), name: name.clone() };
        let user = identity.user.clone().map(|tenant::User { id, email, name, permissions }| User {
            id,
            email,
            name,
            permissions: permissions.into(),
        });
        // The script's file is the host's business.
        let tenant::Script { id, name, kind, file: _ } = &identity.script;
        let script = Script { id: id.clone(), name: name.clone(), kind: kind.clone() };
        let tenant::Execution { id, triggered_by, .. } = &identity.execution;
        let execution = Execution { id: id.clone(), triggered_by: triggered_by.clone() };
        Context { tenant, user, script, execution }
    }
}
