//! The programs of stored scripts that were called of late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::runtime::sandbox::Program;

/// Which program: the tenant's id, the script's and the version's number.
pub type Key = (String, String, i64);

/// A place for a program that may still be in the making.
pub type Slot = Arc<OnceCell<Program>>;

/// Programs that are kept. One that is dropped is made anew from its source.
pub const MOST: usize = 4_096;

/// Programs by version, the ones used last.
pub struct Programs {
    most: usize,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    /// With the time of its last use, as the number of uses before it.
    slots: HashMap<Key, (Slot, u64)>,
    uses: u64,
}

impl Programs {
    pub fn new(most: usize) -> Programs {
        Programs { most, slots: Mutex::default() }
    }

    /// The place for a program. Makes room for it where there is none.
    pub fn slot(&self, key: &Key) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Slots { slots, uses } = &mut *slots;
        *uses += 1;
        if let Some((slot, used)) = slots.get_mut(key) {
            *used = *uses;
            return slot.clone();
        }
        if slots.len() >= self.most {
            // A tenth at once, so that not every new one looks through all.
            let mut times: Vec<u64> = slots.values().map(|(_, used)| *used).collect();
            times.sort_unstable();
            let oldest = times.get(times.len() / 10).copied().unwrap_or_default();
            slots.retain(|_, (_, used)| *used > oldest);
        }
        let slot = Slot::default();
        slots.insert(key.clone(), (slot.clone(), *uses));
        slot
    }

    /// Drops what a script has here.
    pub fn forget(&self, tenant: &str, script: &str) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.slots.retain(|(owner, id, _), _| owner != tenant || id != script);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: i64) -> Key {
        ("acme".to_owned(), "a".to_owned(), number)
    }

    #[test]
    fn those_used_last_are_kept() {
        let programs = Programs::new(10);
        let first = programs.slot(&key(0));
        for number in 1..10 {
            programs.slot(&key(number));
        }
        assert!(Arc::ptr_eq(&first, &programs.slot(&key(0))));
        let second = programs.slot(&key(2));
        programs.slot(&key(10));
        let kept = |number| programs.slots.lock().unwrap().slots.contains_key(&key(number));
        assert!(kept(0) && kept(2) && kept(10) && !kept(1));
        assert!(Arc::ptr_eq(&second, &programs.slot(&key(2))));
        programs.forget("acme", "b");
        assert!(kept(2));
        programs.forget("acme", "a");
        assert!(!kept(2));
    }
}
