//! The host operations that one call has under way.
//!
//! An operation is a future that is polled only while the script waits, and it
//! is dropped with the call: nothing that a script started outlives it.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::failure::Failure;

/// Names an operation towards the script.
pub type Ticket = u32;

type Finished = Box<dyn Any + Send>;

struct Running {
    ticket: Ticket,
    /// Answers None where there is no result to take.
    future: Pin<Box<dyn Future<Output = Option<Finished>> + Send>>,
}

impl Future for Running {
    type Output = (Ticket, Option<Finished>);

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
    /// When the timers among those running end.
    timers: HashMap<Ticket, Instant>,
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
        self.push(async move {
            let result = match tokio::time::timeout_at(deadline, future).await {
                Ok(result) => result,
                Err(_) => Err(expired()),
            };
            Some(Box::new(result) as Finished)
        })
    }

    /// Begins an operation that ends at a time and has no result to take: once
    /// [`wait`](Operations::wait) has named it, nothing of it is left.
    pub fn start_timer(&mut self, end: Instant) -> Ticket {
        let ticket = self.push(async move {
            tokio::time::sleep_until(end).await;
            None
        });
        self.timers.insert(ticket, end);
        ticket
    }

    fn push(&mut self, future: impl Future<Output = Option<Finished>> + Send + 'static) -> Ticket {
        self.next = self.next.wrapping_add(1);
        self.running.push(Running { ticket: self.next, future: Box::pin(future) });
        self.next
    }

    /// How many are under way or wait to be taken. Timers are not among them:
    /// they cost the host next to nothing.
    pub fn pending(&self) -> usize {
        self.running.len() - self.timers.len() + self.finished.len()
    }

    /// Waits for at least one to end; answers all that have, timers last and in
    /// the order of their times. Answers none where none is under way.
    pub async fn wait(&mut self) -> Vec<Ticket> {
        let mut ended = Vec::new();
        if let Some(first) = self.running.next().await {
            ended.push(self.end(first));
        }
        while let Some(Some(next)) = self.running.next().now_or_never() {
            ended.push(self.end(next));
        }
        ended.sort_by_key(|(ticket, time)| time.map(|time| (time, *ticket)));
        ended.into_iter().map(|(ticket, _)| ticket).collect()
    }

    /// The ticket of what has ended, and the time that it was to end at if it
    /// was a timer.
    fn end(&mut self, (ticket, finished): (Ticket, Option<Finished>)) -> (Ticket, Option<Instant>) {
        if let Some(finished) = finished {
            self.finished.insert(ticket, finished);
        }
        (ticket, self.timers.remove(&ticket))
    }

    /// Hands over the result of an operation that has ended. None where the
    /// ticket names no such operation of this type.
    pub fn take<T: 'static>(&mut self, ticket: Ticket) -> Option<Result<T, Failure>> {
        let finished = self.finished.remove(&ticket)?;
        finished.downcast::<Result<T, Failure>>().ok().map(|result| *result)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn start<T: Send + 'static>(operations: &mut Operations, result: T) -> Ticket {
        let deadline = Instant::now() + Duration::from_secs(3600);
        let late = || Failure::new("TimeoutError", "too late");
        operations.start(std::future::ready(Ok(result)), deadline, late)
    }

    #[tokio::test]
    async fn a_result_is_taken_once_and_as_what_it_is() {
        let mut operations = Operations::default();
        let number = start(&mut operations, 7);
        // An operation that answers nothing may fail all the same.
        let nothing = start(&mut operations, ());
        let mut ended = operations.wait().await;
        ended.sort_unstable();
        assert_eq!(ended, [number, nothing]);
        assert_eq!(operations.take::<()>(nothing), Some(Ok(())));
        assert_eq!(operations.take::<i32>(number), Some(Ok(7)));
        assert_eq!(operations.take::<i32>(number), None);
        assert_eq!(operations.pending(), 0);
    }

    #[tokio::test]
    async fn a_timer_ends_in_time_and_leaves_nothing() {
        let mut operations = Operations::default();
        let late = operations.start_timer(Instant::now() + Duration::from_secs(3600));
        let early = operations.start_timer(Instant::now());
        assert_eq!(operations.pending(), 0, "timers do not count");
        assert_eq!(operations.wait().await, [early]);
        assert!(operations.finished.is_empty());
        assert_eq!(operations.take::<()>(early), None);
        assert!(operations.wait().now_or_never().is_none(), "{late} is still under way");
        assert!(Operations::default().wait().await.is_empty(), "nothing is under way");
    }

    #[tokio::test]
    async fn timers_that_end_together_end_in_the_order_of_their_times() {
        let mut operations = Operations::default();
        let now = Instant::now();
        // All are over before the first look at them: by whole seconds, as timers are
        // told of their ends a millisecond late.
        let third = operations.start_timer(now - Duration::from_secs(10));
        let first = operations.start_timer(now - Duration::from_secs(30));
        let second = operations.start_timer(now - Duration::from_secs(20));
        assert_eq!(operations.wait().await, [first, second, third]);
        assert_eq!(operations.pending(), 0);
    }

    #[tokio::test]
    async fn operations_end_with_the_deadline() {
        let mut operations = Operations::default();
        let never = std::future::pending::<Result<(), Failure>>();
        let ticket = operations.start(never, Instant::now(), || Failure::new("TimeoutError", "too late"));
        assert_eq!(operations.pending(), 1);
        assert_eq!(operations.wait().await, [ticket]);
        let failure = operations.take::<()>(ticket).unwrap().unwrap_err();
        assert_eq!(failure.name, "TimeoutError");
    }
}
