//! What starts scripts beside those who call them.

pub mod events;
pub mod schedules;
