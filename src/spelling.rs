//! Which name was perhaps meant.

/// The known name that is nearest: it differs by at most a third of its letters,
/// whatever their case.
pub fn closest<'n, T: AsRef<str>>(name: &str, known: &'n [T]) -> Option<&'n str> {
    // The distance takes time in the product of the lengths.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase();
    known
        .iter()
        .map(AsRef::as_ref)
        .filter(|known| known.len() <= 64)
        .map(|known| (strsim::osa_distance(&name, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
