//! Scripts that run by the clock.

pub mod cron;
pub mod policy;
pub mod timetable;

pub use cron::Cron;
