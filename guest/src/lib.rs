//! The engine: QuickJS, the event loop, and what scripts see of the host.
//!
//! It is instantiated twice in a script's life. At compile time `load` runs the
//! script's top level, and the memory that results is kept as the snapshot.
//! Each call is a fresh instance on that memory, of which only `invoke` is used.

mod context;
mod db;
mod errors;
mod events;
mod heap;
mod http;
mod invoke;
mod json;
mod load;
mod log;
mod progress;
mod secrets;
mod services;
mod state;
mod storage;
mod tasks;
mod utils;
mod wasi;
mod wipe;

use javy::quickjs::{self, Ctx, Object};

wit_bindgen::generate!({ path: "../wit", world: "script" });

struct Engine;

impl Guest for Engine {
    fn invoke(call: Call) -> Result<String, ScriptError> {
        invoke::invoke(call)
    }
}

export!(Engine);

/// A capability: its name as scripts see it in stacks, what backs it in Rust,
/// and its JavaScript, a function of (native, shared).
struct Capability {
    name: &'static str,
    register: for<'js> fn(&Ctx<'js>, &Object<'js>) -> quickjs::Result<()>,
    script: wipe::Text,
}

/// THE list. `json` is not a capability, but all others share it.
const CAPABILITIES: &[Capability] = &[
    Capability { name: "json", register: json::register, script: wipe::text!("json.js") },
    Capability { name: "tasks", register: tasks::register, script: wipe::text!("tasks/tasks.js") },
    Capability { name: "log", register: log::register, script: wipe::text!("log/log.js") },
    Capability { name: "context", register: context::register, script: wipe::text!("context/context.js") },
    Capability { name: "progress", register: progress::register, script: wipe::text!("progress/progress.js") },
    Capability { name: "utils", register: utils::register, script: wipe::text!("utils/utils.js") },
    Capability { name: "storage", register: storage::register, script: wipe::text!("storage/storage.js") },
    Capability { name: "db", register: db::register, script: wipe::text!("db/db.js") },
    Capability { name: "services", register: services::register, script: wipe::text!("services/services.js") },
    Capability { name: "events", register: events::register, script: wipe::text!("events/events.js") },
    Capability { name: "http", register: http::register, script: wipe::text!("http/http.js") },
    Capability { name: "secrets", register: secrets::register, script: wipe::text!("secrets/secrets.js") },
];
