//! Events that go to other systems over NATS JetStream, and come from them.
//!
//! What goes out is remembered in the transaction that publishes it, until the
//! stream has it: a host that dies in between has it sent once more, by whichever
//! host finds it, and the stream drops what it knows by its id. What comes in is
//! acknowledged once it is in the outbox, and known there by the message's id. So
//! both ways are at least once, and no host is the one that does it.
//!
//! The feature `nats` has what does that. Without it there is no value of these
//! types.

#[cfg(feature = "nats")]
mod bridge;
#[cfg(feature = "nats")]
mod connection;
#[cfg(feature = "nats")]
mod incoming;
#[cfg(feature = "nats")]
mod outgoing;
#[cfg(feature = "nats")]
mod subject;
#[cfg(all(test, feature = "nats"))]
mod tests;
#[cfg(not(feature = "nats"))]
mod without;

#[cfg(feature = "nats")]
use bridge as backend;
#[cfg(not(feature = "nats"))]
use without as backend;

pub use backend::Bridge;
