//! To be written.

pub mod notifications;

/// What the process owns.
pub struct Process {}
