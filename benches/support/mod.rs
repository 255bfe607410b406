//! What the benchmarks share.

/// A ratio beside what it should be.
pub fn bar(ratio: f64, bar: f64, at_most: bool) -> String {
    let met = if at_most { ratio <= bar } else { ratio >= bar };
    format!(
        "{ratio:10.2}   {} {bar}   {}",
        if at_most { "at most " } else { "at least" },
        if met { "met" } else { "MISSED" }
    )
}
