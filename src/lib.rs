//! Airlock runs the JavaScript of an application's tenants, each call in a
//! WebAssembly sandbox of its own. `ARCHITECTURE.md` is the map.

// One tenant's call must not end the process that serves all of them.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]

pub mod capabilities;
pub mod cli;
pub mod compile;
pub mod host;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod store;
pub mod tenant;
