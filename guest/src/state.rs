//! What the engine holds between `load` and `invoke`, as part of the snapshot.
//!
//! A Wasm instance has one thread, so thread-locals are plain statics here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use javy::Runtime;
use javy::quickjs::{Function, Persistent};

/// A loaded script.
pub struct Loaded {
    pub runtime: Runtime,
    /// What can be called, by name.
    pub entries: BTreeMap<String, Persistent<Function<'static>>>,
    /// Throws for a value that JSON cannot carry, with its path.
    pub refuse: Persistent<Function<'static>>,
    /// Completes an argument that is a request.
    pub receive: Persistent<Function<'static>>,
}

thread_local! {
    pub static LOADED: RefCell<Option<Loaded>> = const { RefCell::new(None) };
    /// Set once a call runs. Until then there is no host to speak to.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a call runs, rather than the script's top level at compile time.
pub fn calling() -> bool {
    CALLING.get()
}

pub fn begin_call() {
    CALLING.set(true);
}
