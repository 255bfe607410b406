//! To be written.

/// What the process owns.
pub struct Process {}
