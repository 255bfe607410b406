//! `airlock:script/http`.

use super::client::Exchanged;
use crate::runtime::bindings::airlock::script::http::{Host, Request, Response};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;

impl Host for Call {
    fn start_request(&mut self, request: Request) -> wasmtime::Result<Ticket> {
        let prepared = self
            .count(Limit::HttpCalls, 1)
            .and_then(|()| self.process.http.prepare(request, &self.grant.http, &self.limits));
        let budget = self.limits.http_calls.saturating_sub(self.counted(Limit::HttpCalls));
        let (process, grant, limits) = (self.process.clone(), self.grant.clone(), self.limits.clone());
        // A refused request counts as a host call too, so that a script cannot
        // be refused without end.
        Ok(self.start(async move { Ok(process.http.exchange(prepared?, &grant.http, &limits, budget).await) }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<Response, Failure>> {
        let exchanged = match Call::take::<Exchanged>(self, ticket)? {
            Ok(exchanged) => exchanged,
            Err(failure) => return Ok(Err(failure)),
        };
        // The exchange kept to what was left when it began; the next request
        // is the one that is refused.
        let _ = self.count(Limit::HttpCalls, exchanged.redirects);
        if let Err(Failure { limit: Some(hit), .. }) = &exchanged.result {
            self.hit(hit.clone());
        }
        Ok(exchanged.result)
    }
}
