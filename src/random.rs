//! Chance, for what is to be spread and need not be secret.

/// From 0 to 1. Without randomness, nothing is merely spread.
pub fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
