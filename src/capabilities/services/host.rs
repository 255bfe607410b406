//! `airlock:script/services`, as WIT declares it.

use std::sync::Arc;

use super::{Caller, Known, ServiceError};
use crate::runtime::bindings::airlock::script::services::{Error, Host};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;

/// The answer as JSON text, or what the service said against the call.
type Answer = Result<String, ServiceError>;

impl Call {
    /// Refuses what the script or its user may not call, and counts what they
    /// may against the limits on it.
    fn admit(&mut self, service: &str, method: &str, arguments: &str) -> Result<(), Failure> {
        self.process.services.permit(&self.grant.services, self.identity.user.as_ref(), service, method)?;
        self.count(Limit::ServiceCalls, 1)?;
        self.limits.check(Limit::ServiceBytes, arguments.len() as u64)?;
        match self.process.services.0.known.get(service) {
            Some(Known::Notifications) => self.count(Limit::Emails, 1),
            _ => Ok(()),
        }
    }
}

impl Host for Call {
    fn start_call(&mut self, service: String, method: String, arguments: String) -> wasmtime::Result<Ticket> {
        if let Err(failure) = self.admit(&service, &method, &arguments) {
            return Ok(self.refuse::<Answer>(failure));
        }
        let services = self.process.services.clone();
        let (identity, limits) = (Arc::clone(&self.identity), Arc::clone(&self.limits));
        let (access, trace) = (self.access(), self.trace);
        Ok(self.start("services.call", async move {
            let caller = Caller { identity: &identity, trace };
            services.call(caller, &access, &limits, &service, &method, &arguments).await
        }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<Result<String, Error>, Failure>> {
        let told = |ServiceError { code, status, message }| Error { code, status, message };
        Ok(self.take::<Answer>(ticket)?.map(|answer| answer.map_err(told)))
    }
}
