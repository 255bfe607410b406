//! The storage as scripts reach it.

use super::{Page, Space};
use crate::runtime::bindings::airlock::script::storage::{self, Answer, Entry, Host};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::operations::Ticket;

impl Call {
    fn space(&self) -> Result<Space, Failure> {
        self.grant.capabilities.storage()?;
        Ok(self.process.storage.space(self.account.clone(), self.limits.clone()))
    }
}

impl Host for Call {
    fn start_get(&mut self, key: String) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.get", async move { space?.get(key).await.map(Answer::Value) }))
    }

    fn start_set(&mut self, key: String, value: String, ttl: Option<f64>) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.set", async move { space?.set(key, value, ttl).await.map(|()| Answer::Done) }))
    }

    fn start_delete(&mut self, key: String) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.delete", async move { space?.delete(key).await.map(Answer::Flag) }))
    }

    fn start_has(&mut self, key: String) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.has", async move { space?.has(key).await.map(Answer::Flag) }))
    }

    fn start_list(&mut self, prefix: String, after: Option<String>, limit: Option<u32>) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.list", async move { Ok(Answer::Page(space?.list(prefix, after, limit).await?.into())) }))
    }

    fn start_increment(&mut self, key: String, by: f64, ttl: Option<f64>) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.increment", async move { space?.increment(key, by, ttl).await.map(Answer::Number) }))
    }

    fn start_compare_and_set(
        &mut self,
        key: String,
        expected: Option<String>,
        value: String,
        ttl: Option<f64>,
    ) -> wasmtime::Result<Ticket> {
        let space = self.space();
        Ok(self.start("storage.compareAndSet", async move {
            space?.compare_and_set(key, expected, value, ttl).await.map(Answer::Flag)
        }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<Answer, Failure>> {
        self.take::<Answer>(ticket)
    }
}

impl From<Page> for storage::Page {
    fn from(page: Page) -> storage::Page {
        let entry = |(key, value)| Entry { key, value };
        storage::Page { entries: page.entries.into_iter().map(entry).collect(), next: page.next }
    }
}
