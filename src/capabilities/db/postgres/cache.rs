//! What was worked out before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Values by text, the least used of which are forgotten. There are two
/// generations: what was not asked for during one goes with it.
pub struct Cache<T> {
    generations: Mutex<Generations<T>>,
    /// The most that one generation has.
    most: usize,
    /// Longer texts are not kept, in bytes.
    longest: usize,
}

struct Generations<T> {
    young: HashMap<String, Arc<T>>,
    old: HashMap<String, Arc<T>>,
}

impl<T> Cache<T> {
    pub fn new(most: usize, longest: usize) -> Cache<T> {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Cache { generations: Mutex::new(generations), most, longest }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<T>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, text: &str) -> Option<Arc<T>> {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(text) {
            return Some(Arc::clone(value));
        }
        let (text, value) = generations.old.remove_entry(text)?;
        self.keep(&mut generations, text, Arc::clone(&value));
        Some(value)
    }

    pub fn insert(&self, text: &str, value: T) -> Arc<T> {
        let value = Arc::new(value);
        if text.len() <= self.longest {
            self.keep(&mut self.lock(), text.to_owned(), Arc::clone(&value));
        }
        value
    }

    fn keep(&self, generations: &mut Generations<T>, text: String, value: Arc<T>) {
        if generations.young.len() >= self.most {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(text, value);
    }

    pub fn clear(&self) {
        let mut generations = self.lock();
        generations.young.clear();
        generations.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let cache = Cache::new(2, 8);
        for text in ["a", "b", "c"] {
            cache.insert(text, text.len());
        }
        assert!(cache.get("a").is_some(), "it is of the old generation");
        cache.insert("d", 1);
        assert_eq!((cache.get("a").is_some(), cache.get("b").is_some(), cache.get("d").is_some()), (true, false, true));
        cache.insert("too long a text", 1);
        assert!(cache.get("too long a text").is_none());
        cache.clear();
        assert!(cache.get("a").is_none());
    }
}
