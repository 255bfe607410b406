//! What holds while hosts are killed. Real hosts share one PostgreSQL database,
//! are ended with SIGKILL at any time and started again.
//!
//! `make test` runs a short form of each program, `make test-faults` the full one.
//! Each prints its figures.

mod events;
mod mixed;
mod schedules;
mod support;
