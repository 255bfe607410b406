//! The events as scripts reach them.

use crate::capabilities::grant::shown;
use crate::runtime::bindings::airlock::script::events::Host;
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;

impl Host for Call {
    fn start_publish(&mut self, name: String, data: String) -> wasmtime::Result<Ticket> {
        let granted = self.grant.events.check(
            |pattern| pattern.allows(&name),
            || (format!("publishing the event {}", shown(&name)), shown(&name)),
        );
        let counted = granted.and_then(|()| self.count(Limit::Events, 1));
        let events = self.process.events.clone();
        let (identity, limits) = (self.identity.clone(), self.limits.clone());
        Ok(self.start(async move {
            counted?;
            events.publish(identity, &limits, name, data).await
        }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<String, Failure>> {
        self.take::<String>(ticket)
    }
}
