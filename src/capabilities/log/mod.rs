//! To be written.

/// What one call holds.
#[derive(Default)]
pub struct Held {}
