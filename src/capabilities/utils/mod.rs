//! What is not deterministic: the time, random bytes, and timers.

mod host;

use std::time::Duration;

use tokio::time::Instant;

/// The most random bytes that one call of the function answers: as many as
/// `crypto.getRandomValues` may.
const RANDOM_BYTES: u32 = 65_536;

/// When a sleep that begins now ends. Before the soft deadline it ends with
/// that, so that the script can still react to it; after it with the hard one.
fn end_of_sleep(now: Instant, milliseconds: u64, soft: Instant, hard: Instant) -> Instant {
    let deadline = if now < soft { soft } else { hard };
    now.checked_add(Duration::from_millis(milliseconds)).map_or(deadline, |end| end.min(deadline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_with_the_next_deadline() {
        let now = Instant::now();
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        let (soft, hard) = (at(100), at(150));
        assert_eq!(end_of_sleep(now, 0, soft, hard), now);
        assert_eq!(end_of_sleep(now, 99, soft, hard), at(99));
        assert_eq!(end_of_sleep(now, 101, soft, hard), soft);
        assert_eq!(end_of_sleep(now, u64::MAX, soft, hard), soft);
        assert_eq!(end_of_sleep(at(100), 20, soft, hard), at(120));
        assert_eq!(end_of_sleep(at(100), u64::MAX, soft, hard), hard);
    }
}
