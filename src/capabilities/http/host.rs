//! `airlock:script/http`.

use super::Budget;
use crate::runtime::bindings::airlock::script::http::{Host, Request, Response};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::operations::Ticket;

impl Host for Call {
    fn start_request(&mut self, request: Request) -> wasmtime::Result<Ticket> {
        let (account, limits) = (self.account.clone(), self.limits.clone());
        let budget = Budget { account, limits, used: self.held.http.requests.clone() };
        let prepared = budget
            .take()
            .and_then(|()| self.process.http.prepare(request, &self.grant.http, &self.limits))
            .map(|prepared| prepared.traced(self.trace));
        let (process, grant) = (self.process.clone(), self.grant.clone());
        // A refused request counts as a host call too, so that a script cannot
        // be refused without end.
        Ok(self.start("http.request", async move { process.http.exchange(prepared?, &grant.http, &budget).await }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<Response, Failure>> {
        self.take::<Response>(ticket)
    }
}
