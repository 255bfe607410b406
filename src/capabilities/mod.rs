//! What a script can reach. One folder a capability; this is THE list.
//!
//! Three lifetimes, a struct each: what the process owns, what a tenant's
//! script is granted, what one call holds.

pub mod context;
pub mod db;
pub mod events;
pub mod grant;
pub mod http;
pub mod log;
pub mod progress;
pub mod secrets;
pub mod services;
pub mod storage;
pub mod tasks;
pub mod utils;

use crate::tenant::quota;

/// What the process owns.
pub struct Process {
    pub db: db::Process,
    /// The permissions that tables need.
    pub tables: std::sync::Arc<db::Rules>,
    pub events: crate::triggers::events::Outbox,
    pub http: http::Process,
    pub metrics: std::sync::Arc<crate::metrics::Metrics>,
    /// What tenants may use of all of these, and have used.
    pub quotas: quota::Ledger,
    pub secrets: secrets::Process,
    pub services: services::Process,
    pub storage: storage::Process,
}

/// What a tenant's script is granted.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    pub capabilities: grant::Allowed<grant::Capability>,
    pub db: db::Grant,
    pub events: events::Grant,
    pub http: http::Grant,
    pub secrets: secrets::Grant,
    pub services: services::Grant,
}

/// What one call holds.
#[derive(Default)]
pub struct Held {
    pub db: db::Held,
    pub http: http::Held,
    pub log: log::Held,
    pub progress: progress::Progress,
}
