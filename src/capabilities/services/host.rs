//! `airlock:script/services`, as WIT declares it.

use std::sync::Arc;

use super::Service;
use crate::runtime::bindings::airlock::script::services::Host;
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;

impl Call {
    /// Refuses what the script or its user may not call, and counts what they
    /// may against the limits on it.
    fn admit(&mut self, service: &str, method: &str, arguments: &str) -> Result<(), Failure> {
        self.process.services.0.permit(&self.grant.services, self.identity.user.as_ref(), service, method)?;
        self.count(Limit::ServiceCalls, 1)?;
        self.limits.check(Limit::ServiceBytes, arguments.len() as u64)?;
        match self.process.services.0.known.get(service) {
            Some(Service::Notifications) => self.count(Limit::Emails, 1),
            _ => Ok(()),
        }
    }
}

impl Host for Call {
    fn start_call(&mut self, service: String, method: String, arguments: String) -> wasmtime::Result<Ticket> {
        if let Err(failure) = self.admit(&service, &method, &arguments) {
            return Ok(self.refuse::<String>(failure));
        }
        let services = Arc::clone(&self.process.services.0);
        let (identity, limits) = (Arc::clone(&self.identity), Arc::clone(&self.limits));
        let access = self.access();
        Ok(self.start(async move { services.call(&identity, &access, &limits, &service, &method, &arguments).await }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<String, Failure>> {
        self.take::<String>(ticket)
    }
}
