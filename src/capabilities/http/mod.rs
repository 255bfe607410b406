//! To be written.

/// What the process owns.
pub struct Process {}

/// What a script is granted.
#[derive(Debug, Clone, Default)]
pub struct Grant {}
