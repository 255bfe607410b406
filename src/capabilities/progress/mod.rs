//! How far a call is, by its own word.
//!
//! A script may say so as often as it likes: the last word counts, who follows it
//! looks some times a second, and the record has it once a second.

mod host;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

/// Characters of a message.
const MESSAGE: usize = 200;

/// How far a call is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Progress)]
pub struct Report {
    /// In the script's own unit.
    #[schema(minimum = 0)]
    pub done: f64,
    /// How much there is. Null: nobody knows.
    #[schema(required, minimum = 0)]
    pub total: Option<f64>,
    /// At most 200 characters, on one line.
    pub message: String,
}

impl Report {
    /// Numbers that are none count as nothing. A message is shown in terminals,
    /// where control characters do things.
    pub fn new(done: f64, total: Option<f64>, message: &str) -> Report {
        let amount = |number: f64| if number.is_finite() { number.max(0.0) } else { 0.0 };
        let total = total.map(amount);
        let plain = message.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c });
        Report { done: amount(done).min(total.unwrap_or(f64::MAX)), total, message: plain.collect() }
    }
}

/// What a call has said last. Shared by the call and by who follows it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<watch::Sender<Option<Report>>>);

impl Progress {
    pub fn report(&self, report: Report) {
        self.0.send_replace(Some(report));
    }

    pub fn read(&self) -> Option<Report> {
        self.0.borrow().clone()
    }

    /// Is told of what is said from now on.
    pub fn follow(&self) -> watch::Receiver<Option<Report>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_script_says_is_a_report() {
        for (done, total, shown) in [
            (3.0, Some(10.0), (3.0, Some(10.0))),
            (3.0, None, (3.0, None)),
            (11.0, Some(10.0), (10.0, Some(10.0))),
            (-1.0, Some(-1.0), (0.0, Some(0.0))),
            (f64::NAN, Some(f64::INFINITY), (0.0, Some(0.0))),
        ] {
            let report = Report::new(done, total, "");
            assert_eq!((report.done, report.total), shown, "{done} of {total:?}");
        }
        let report = Report::new(0.0, None, "a\u{1b}[2Jb\n\0c");
        assert_eq!(report.message, "a [2Jb  c");
        assert_eq!(Report::new(0.0, None, &"ü".repeat(1_000)).message.chars().count(), MESSAGE);
    }
}
