//! What starts scripts.

pub mod schedules;
