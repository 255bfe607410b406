//! The host operations that one call has under way.
//!
//! An operation is a future that is polled only while the script waits, and it
//! is dropped with the call: nothing that a script started outlives it.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::failure::Failure;

/// Names an operation towards the script.
pub type Ticket = u32;

type Finished = Box<dyn Any + Send>;

struct Running {
    ticket: Ticket,
    /// What the operation answers when the call's deadline cuts it short.
    future: Pin<Box<dyn Future<Output = Finished> + Send>>,
}

impl Future for Running {
    type Output = (Ticket, Finished);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = self.ticket;
        self.future.as_mut().poll(context).map(|finished| (ticket, finished))
    }
}

/// One call's operations: those under way and those whose results wait to be taken.
#[derive(Default)]
pub struct Operations {
    next: Ticket,
    running: FuturesUnordered<Running>,
    finished: HashMap<Ticket, Finished>,
}

impl Operations {
    /// Begins an operation and names it.
    pub fn start<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = Result<T, Failure>> + Send + 'static,
        deadline: Instant,
        expired: impl FnOnce() -> Failure + Send + 'static,
    ) -> Ticket {
        self.next = self.next.wrapping_add(1);
        let future = Box::pin(async move {
            let result = match tokio::time::timeout_at(deadline, future).await {
                Ok(result) => result,
                Err(_) => Err(expired()),
            };
            Box::new(result) as Finished
        });
        self.running.push(Running { ticket: self.next, future });
        self.next
    }

    /// How many are under way or wait to be taken.
    pub fn pending(&self) -> usize {
        self.running.len() + self.finished.len()
    }

    /// Waits for at least one to end; answers all that have.
    pub async fn wait(&mut self) -> Vec<Ticket> {
        let mut ended = Vec::new();
        if let Some((ticket, finished)) = self.running.next().await {
            ended.push(ticket);
            self.finished.insert(ticket, finished);
        }
        while let Some(Some((ticket, finished))) =
            futures_util::FutureExt::now_or_never(self.running.next())
        {
            ended.push(ticket);
            self.finished.insert(ticket, finished);
        }
        ended
    }

    /// Hands over the result of an operation that has ended. None where the
    /// ticket names no such operation of this type.
    pub fn take<T: 'static>(&mut self, ticket: Ticket) -> Option<Result<T, Failure>> {
        let finished = self.finished.remove(&ticket)?;
        finished.downcast::<Result<T, Failure>>().ok().map(|result| *result)
    }

    /// Forgets the result of an operation that has none to take.
    pub fn discard(&mut self, ticket: Ticket) {
        self.finished.remove(&ticket);
    }
}
