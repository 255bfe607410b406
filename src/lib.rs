//! Airlock runs the JavaScript of an application's tenants, each call in a
//! WebAssembly sandbox of its own. `ARCHITECTURE.md` is the map.
//!
//! An application uses it as a program, `airlock serve`, or embeds it:
//!
//! 1. [`settings::Settings`] says what there is: tenants, limits, quotas,
//!    services. Load it from a file or make it in code; `Default` is sound.
//! 2. [`host::Host::open`] opens the databases and starts the engine;
//!    [`host::Host::builder`] does so with services of the application's own,
//!    each a [`Service`](capabilities::services::Service).
//! 3. [`host::Host::compile`] makes a [`Program`](runtime::sandbox::Program) of
//!    a script's text, once.
//! 4. [`host::Host::run`] calls it, for the [`Identity`](tenant::Identity) and
//!    with the argument that a [`host::Run`] names, as often as need be and from
//!    any number of tasks.
//! 5. The [`Outcome`](runtime::outcome::Outcome) is the result as JSON or the
//!    script's error, the logs, and what it cost. A call that did not begin is
//!    [`host::Refused`].
//!
//! `examples/embed.rs` does all of it.

// One tenant's call must not end the process that serves all of them.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]

pub mod capabilities;
pub mod cli;
pub mod compile;
pub mod executions;
mod files;
mod hexadecimal;
pub mod host;
pub mod metrics;
mod pause;
pub mod queue;
mod random;
pub mod runtime;
pub mod scripts;
pub mod server;
pub mod settings;
mod spelling;
pub mod store;
pub mod tenant;
mod traces;
pub mod triggers;
