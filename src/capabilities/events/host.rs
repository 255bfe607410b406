//! The events as scripts reach them.

use crate::capabilities::grant::shown;
use crate::metrics;
use crate::runtime::bindings::airlock::script::events::{Host, Options};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;
use crate::triggers::events::{New, Publisher, Refused};

impl Host for Call {
    fn start_publish(&mut self, name: String, data: String, options: Options) -> wasmtime::Result<Ticket> {
        let granted = self.grant.events.check(
            |pattern| pattern.allows(&name),
            || (format!("publishing the event {}", shown(&name)), shown(&name)),
        );
        let counted = granted.and_then(|()| self.count(Limit::Events, 1));
        let events = self.process.events.clone();
        let metrics = (name == metrics::EVENT).then(|| self.process.metrics.clone());
        let (identity, limits, account) = (self.identity.clone(), self.limits.clone(), self.account.clone());
        let publisher = Publisher::script(&identity);
        let Options { delay, key, dedup_key, priority } = options;
        Ok(self.start("events.publish", async move {
            counted?;
            let numbers = metrics.map(|metrics| (metrics, data.clone()));
            let priority = priority.map(i64::from);
            let new = New { id: None, name, data, delay, key, dedup_key, priority };
            let published = events.publish(&identity.tenant.id, &limits, &account, publisher, new).await;
            let published = published.map_err(Refused::failure)?;
            if let Some((metrics, data)) = numbers.filter(|_| published.is_new) {
                metrics.published(&identity, &data);
            }
            Ok(published.id)
        }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<String, Failure>> {
        self.take::<String>(ticket)
    }
}
