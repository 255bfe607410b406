//! To be written.

/// What the process owns.
pub struct Process {}

/// What one call holds.
#[derive(Default)]
pub struct Held {}
