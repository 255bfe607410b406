//! How long to wait before what failed is tried again.

use std::time::Duration;

/// The longest.
const LONGEST: Duration = Duration::from_secs(5);

/// Longer each time. Whoever succeeds begins with another one.
#[derive(Debug, Default)]
pub struct Pause(u32);

impl Pause {
    pub fn next(&mut self) -> Duration {
        self.0 = (self.0 + 1).min(6);
        Duration::from_millis(100 << self.0).min(LONGEST)
    }
}
