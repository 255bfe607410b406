//! Airlock runs the JavaScript of an application's tenants, each call in a
//! WebAssembly sandbox of its own. `ARCHITECTURE.md` is the map.

pub mod capabilities;
pub mod cli;
pub mod compile;
pub mod host;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod store;
pub mod tenant;
