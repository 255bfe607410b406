//! The events as scripts reach them.

use crate::capabilities::grant::shown;
use crate::metrics;
use crate::runtime::bindings::airlock::script::events::Host;
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;
use crate::tenant::quota::Quota;

impl Host for Call {
    fn start_publish(&mut self, name: String, data: String) -> wasmtime::Result<Ticket> {
        let granted = self.grant.events.check(
            |pattern| pattern.allows(&name),
            || (format!("publishing the event {}", shown(&name)), shown(&name)),
        );
        let counted = granted
            .and_then(|()| self.count(Limit::Events, 1))
            .and_then(|()| self.account.take(Quota::EventsPerMinute, 1).map_err(Failure::from));
        let events = self.process.events.clone();
        let metrics = (name == metrics::EVENT).then(|| self.process.metrics.clone());
        let (identity, limits) = (self.identity.clone(), self.limits.clone());
        Ok(self.start(async move {
            counted?;
            let numbers = metrics.map(|metrics| (metrics, identity.clone(), data.clone()));
            let id = events.publish(identity, &limits, name, data).await?;
            if let Some((metrics, identity, data)) = numbers {
                metrics.published(&identity, &data);
            }
            Ok(id)
        }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<String, Failure>> {
        self.take::<String>(ticket)
    }
}
