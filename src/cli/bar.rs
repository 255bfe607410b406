//! How far a script is, as a bar in the terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::capabilities::progress::Report;

/// As many steps as a terminal can show.
const STEPS: u64 = 1_000;

/// Is drawn on stderr once there is something to show, and nowhere else than in a
/// terminal.
#[derive(Clone)]
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new() -> Bar {
        Bar(ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr()))
    }

    pub fn show(&self, report: &Report) {
        let known = report.total.filter(|total| *total > 0.0);
        let template = if known.is_some() { "{bar:30} {percent:>3}% {msg}" } else { "{spinner} {msg}" };
        // Both are sound.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        self.0.set_message(words(report));
        match known {
            Some(total) => self.0.set_position((report.done / total * STEPS as f64) as u64),
            None => self.0.tick(),
        }
    }

    /// Prints a line above it.
    pub fn line(&self, text: &str) {
        self.0.suspend(|| eprintln!("{text}"));
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

fn words(report: &Report) -> String {
    let Report { done, total, message } = report;
    let amount = match total {
        Some(total) => format!("{done} of {total}"),
        None => done.to_string(),
    };
    if message.is_empty() { amount } else { format!("{amount}, {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_put_in_words() {
        for (report, expected) in [
            (Report::new(3.0, Some(10.0), "orders"), "3 of 10, orders"),
            (Report::new(2.5, Some(10.0), ""), "2.5 of 10"),
            (Report::new(7.0, None, "rows"), "7, rows"),
        ] {
            assert_eq!(words(&report), expected);
            // Where there is no terminal, nothing is drawn.
            Bar::new().show(&report);
        }
    }
}
