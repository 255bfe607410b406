//! What one call holds: its store's data, dropped with it.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::control::Control;
use super::failure::{Failure, LimitHit};
use super::limits::{Limit, Limits};
use super::operations::{Operations, Ticket};
use super::trace::Trace;
use crate::capabilities;
use crate::tenant::Identity;
use crate::tenant::quota::Account;
use crate::traces::{HostCall, Traces};

/// The data of a call's store. Every capability's host functions are
/// implemented on it.
pub struct Call {
    pub identity: Arc<Identity>,
    pub limits: Arc<Limits>,
    /// What the process owns.
    pub process: Arc<capabilities::Process>,
    /// What the tenant's script was granted.
    pub grant: Arc<capabilities::Grant>,
    /// What the tenant may use and has used, of all its calls together.
    pub account: Arc<Account>,
    /// What the capabilities hold for this call.
    pub held: capabilities::Held,
    pub operations: Operations,
    /// How others watch and stop the call.
    pub control: Arc<Control>,
    /// The trace that the call is part of, for what it asks of others.
    pub trace: Option<Trace>,
    /// Who is told what the call asks of the host, and how long that takes.
    pub traces: Option<Arc<Traces>>,
    /// When waiting operations and loops are interrupted.
    pub soft_deadline: Instant,
    /// When the call is stopped for good.
    pub hard_deadline: Instant,
    /// The limits that host functions refused for, in the order of refusal.
    pub hits: Vec<LimitHit>,
    /// Whether the script asked for operations without end and without waiting.
    flooded: bool,
    /// How often each limit was counted against.
    counts: [u64; Limit::ALL.len()],
    /// The linear memory, as far as it grew.
    pub memory: MemoryMeter,
}

/// The trap of a call that hit a limit, the last of [`Call::hits`], where no
/// failure could be answered.
#[derive(Debug, thiserror::Error)]
#[error("a limit ended the call")]
pub struct Stopped;

/// Bounds and measures a call's linear memory.
#[derive(Debug, Default)]
pub struct MemoryMeter {
    /// In bytes.
    pub peak: usize,
    /// The size that was refused, if one was.
    pub refused: Option<usize>,
}

impl MemoryMeter {
    /// Whether the memory may grow to that size, in bytes.
    pub fn grow(&mut self, desired: usize, limit: u64) -> bool {
        if desired as u64 > limit {
            self.refused = Some(desired);
            return false;
        }
        self.peak = self.peak.max(desired);
        true
    }

    /// The most that was asked for, in bytes.
    pub fn wanted(&self) -> u64 {
        self.refused.unwrap_or(0).max(self.peak) as u64
    }
}

impl Call {
    pub fn new(
        identity: Arc<Identity>,
        limits: Arc<Limits>,
        process: Arc<capabilities::Process>,
        grant: Arc<capabilities::Grant>,
    ) -> Call {
        let account = process.quotas.account(&identity.tenant.id);
        let now = Instant::now();
        let soft_deadline = now + limits.duration(Limit::Timeout);
        let hard_deadline = soft_deadline + limits.duration(Limit::Grace);
        Call {
            identity,
            limits,
            process,
            grant,
            account,
            held: capabilities::Held::default(),
            operations: Operations::default(),
            control: Arc::default(),
            trace: None,
            traces: None,
            soft_deadline,
            hard_deadline,
            hits: Vec::new(),
            flooded: false,
            counts: [0; Limit::ALL.len()],
            memory: MemoryMeter::default(),
        }
    }

    /// Starts the call's time anew, as when it has waited for a sandbox.
    pub fn restart_clock(&mut self) {
        self.soft_deadline = Instant::now() + self.limits.duration(Limit::Timeout);
        self.hard_deadline = self.soft_deadline + self.limits.duration(Limit::Grace);
    }

    /// Begins a host operation that ends no later than the call's soft
    /// deadline. Counts it; over a limit, the operation fails at once. `name` is
    /// what a script calls it.
    pub fn start<T: Send + 'static>(
        &mut self,
        name: &'static str,
        future: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Ticket {
        let refused = self
            .count(Limit::HostCalls, 1)
            .and_then(|()| self.limits.check(Limit::ConcurrentOperations, self.operations.pending() as u64 + 1));
        match refused {
            Ok(()) => {
                let timeout = self.limits.timeout;
                let span = HostCall::begin(self.traces.as_ref(), self.trace, name);
                let future = async move {
                    let result = future.await;
                    if let Some(span) = span {
                        span.end(result.as_ref().err());
                    }
                    result
                };
                self.operations.start(future, self.soft_deadline, move || expired(timeout))
            }
            Err(failure) => self.refuse::<T>(failure),
        }
    }

    /// What an operation fails with once the soft deadline has passed.
    pub fn timeout(&self) -> Failure {
        expired(self.limits.timeout)
    }

    /// An operation that has already failed. A script that goes on asking
    /// without ever waiting gets no more of them: each costs the host memory.
    /// The engine takes the last ticket for a sign to wait, which stops the call.
    pub fn refuse<T: Send + 'static>(&mut self, failure: Failure) -> Ticket {
        let limit = self.limits.concurrent_operations;
        let pending = self.operations.pending() as u64;
        if pending > limit.saturating_mul(2) {
            self.flooded = true;
            self.hit(Limit::ConcurrentOperations.hit(limit, pending));
            return Ticket::MAX;
        }
        let deadline = self.hard_deadline;
        let again = failure.clone();
        self.operations.start::<T>(std::future::ready(Err(failure)), deadline, move || again)
    }

    /// Hands over an operation's result. A ticket that the host never gave is
    /// the doing of a broken engine and ends the call.
    pub fn take<T: 'static>(&mut self, ticket: Ticket) -> wasmtime::Result<Result<T, Failure>> {
        let result = self
            .operations
            .take::<T>(ticket)
            .ok_or_else(|| wasmtime::Error::msg("took an operation that is not there"))?;
        if let Err(failure) = &result {
            self.hits_of(failure);
        }
        Ok(result)
    }

    /// Ends the call where it asked for more than any script can want.
    pub fn require_not_flooded(&self) -> wasmtime::Result<()> {
        if self.flooded { Err(Stopped.into()) } else { Ok(()) }
    }

    /// Counts against a limit where no failure can be answered: over the limit,
    /// the call ends.
    pub fn count_or_stop(&mut self, limit: Limit) -> wasmtime::Result<()> {
        self.count(limit, 1).map_err(|failure| {
            self.hits_of(&failure);
            Stopped.into()
        })
    }

    /// Notes the limit that a failure names.
    pub fn hits_of(&mut self, failure: &Failure) {
        if let Some(hit) = &failure.limit {
            self.hit(hit.clone());
        }
    }

    /// Counts against a limit of the whole call.
    pub fn count(&mut self, limit: Limit, by: u64) -> Result<(), Failure> {
        let count = &mut self.counts[limit as usize];
        *count = count.saturating_add(by);
        let used = *count;
        self.limits.check(limit, used)
    }

    /// What was counted against a limit so far.
    pub fn counted(&self, limit: Limit) -> u64 {
        self.counts[limit as usize]
    }

    /// Notes that a limit was hit, so that the outcome can name it.
    pub fn hit(&mut self, hit: LimitHit) {
        if !self.hits.iter().any(|known| known.name == hit.name) {
            self.hits.push(hit);
        }
    }
}

/// What a call fails with whose time, in milliseconds, is over.
fn expired(timeout: u64) -> Failure {
    Failure::limit(Limit::Timeout, timeout, timeout)
}

impl wasmtime::ResourceLimiter for Call {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(desired, self.limits.memory))
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The engine's tables have a fixed size.
        Ok(true)
    }
}
