//! The event loop: promises for what the host has under way, and timers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use javy::quickjs::{Ctx, Function, Object, Persistent, Promise, Result, Value, function::Opt};

use crate::airlock::script::{tasks, types::Failure, utils};
use crate::errors;

/// Fetches an operation's result: the value to resolve with, or the failure.
pub type Take = for<'js> fn(&Ctx<'js>, u32) -> Result<std::result::Result<Value<'js>, Failure>>;

/// What the host answers where far too many operations are under way.
const FLOOD: u32 = u32::MAX;

struct Pending {
    resolve: Persistent<Function<'static>>,
    reject: Persistent<Function<'static>>,
    take: Take,
}

thread_local! {
    static PENDING: RefCell<BTreeMap<u32, Pending>> = const { RefCell::new(BTreeMap::new()) };
    static TIMERS: RefCell<BTreeMap<u32, Timer>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT_TIMER: Cell<u32> = const { Cell::new(1) };
}

struct Timer {
    id: u32,
    callback: Persistent<Function<'static>>,
    /// Milliseconds between runs, where it repeats.
    every: Option<u64>,
}

/// A promise for an operation that the host has begun.
pub fn promise<'js>(ctx: &Ctx<'js>, ticket: u32, take: Take) -> Result<Promise<'js>> {
    if ticket == FLOOD {
        // Ends the call: a script that never waits would go on asking.
        tasks::wait();
    }
    let (promise, resolve, reject) = ctx.promise()?;
    let pending = Pending { resolve: Persistent::save(ctx, resolve), reject: Persistent::save(ctx, reject), take };
    PENDING.with_borrow_mut(|map| map.insert(ticket, pending));
    Ok(promise)
}

/// Whether operations are under way, timers apart.
pub fn operations_pending() -> bool {
    PENDING.with_borrow(|map| !map.is_empty())
}

pub fn timers_pending() -> bool {
    TIMERS.with_borrow(|map| !map.is_empty())
}

/// After the soft deadline no timer fires any more.
pub fn drop_timers(ctx: &Ctx<'_>) {
    for timer in TIMERS.with_borrow_mut(std::mem::take).into_values() {
        let _ = timer.callback.restore(ctx);
    }
}

/// Waits for what is under way and settles the promises of what has ended.
pub fn wait(ctx: &Ctx<'_>) -> Result<()> {
    for ticket in tasks::wait() {
        if let Some(pending) = PENDING.with_borrow_mut(|map| map.remove(&ticket)) {
            let resolve = pending.resolve.restore(ctx)?;
            let reject = pending.reject.restore(ctx)?;
            match (pending.take)(ctx, ticket) {
                Ok(Ok(value)) => resolve.call::<_, ()>((value,))?,
                Ok(Err(failure)) => reject.call::<_, ()>((errors::from_failure(ctx, &failure)?,))?,
                // Making the value failed, as for want of memory.
                Err(error) if error.is_exception() => reject.call::<_, ()>((ctx.catch(),))?,
                Err(error) => return Err(error),
            }
        } else if let Some(timer) = TIMERS.with_borrow_mut(|map| map.remove(&ticket)) {
            if tasks::expired().is_some() {
                continue;
            }
            let callback = timer.callback.clone().restore(ctx)?;
            if let Some(every) = timer.every {
                let ticket = utils::start_sleep(every);
                TIMERS.with_borrow_mut(|map| map.insert(ticket, timer));
            }
            callback.call::<_, ()>(())?;
        }
    }
    Ok(())
}

fn start_timer<'js>(ctx: Ctx<'js>, callback: Function<'js>, milliseconds: f64, repeat: bool) -> Result<u32> {
    errors::require_call(&ctx, if repeat { "setInterval" } else { "setTimeout" })?;
    let milliseconds = if milliseconds.is_finite() { milliseconds.clamp(0.0, 1e12) as u64 } else { 0 };
    let id = NEXT_TIMER.get();
    NEXT_TIMER.set(id.wrapping_add(1));
    let every = repeat.then_some(milliseconds.max(1));
    let timer = Timer { id, callback: Persistent::save(&ctx, callback), every };
    let ticket = utils::start_sleep(milliseconds);
    TIMERS.with_borrow_mut(|map| map.insert(ticket, timer));
    Ok(id)
}

fn clear_timer(id: Opt<Value<'_>>) {
    if let Some(id) = id.0.and_then(|id| id.as_number()) {
        TIMERS.with_borrow_mut(|map| map.retain(|_, timer| f64::from(timer.id) != id));
    }
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("startTimer", Function::new(ctx.clone(), start_timer)?)?;
    native.set("clearTimer", Function::new(ctx.clone(), clear_timer)?)
}
