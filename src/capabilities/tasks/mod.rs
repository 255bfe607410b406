//! Waiting for what a script has under way.

mod host;
