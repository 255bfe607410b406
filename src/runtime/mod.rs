//! The sandbox: one engine for all scripts, one instance for each call.

pub mod bindings;
mod cache;
pub mod call;
pub mod control;
pub mod engine;
pub mod failure;
pub mod limits;
pub mod operations;
pub mod outcome;
pub mod sandbox;
pub mod stack;
pub mod trace;
mod turns;
mod warm;
