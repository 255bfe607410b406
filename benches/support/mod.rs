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

/// Whether a test runner asks what tests there are: there are none.
pub fn is_listing() -> bool {
    std::env::args().any(|argument| argument == "--list")
}

/// The one in the middle; the default of none.
pub fn median<T: Copy + Default + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied().unwrap_or_default()
}
