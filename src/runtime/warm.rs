//! Which scripts keep their snapshot's pages in this process.
//!
//! A snapshot is mapped from the cache of machine code. A call reads most of it
//! (the kernel maps what lies around a page as well), and the pages would stay:
//! a third of a megabyte for every script that was ever called. So only the scripts
//! that were called of late keep theirs, about as many as calls can be under way;
//! those of others are dropped, and come back from the system's file cache in some
//! microseconds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::Module;

/// A snapshot's machine code.
pub struct Snapshot {
    pub module: Module,
    /// Whether it is mapped from a file, as [`let_go`] needs.
    pub mapped: bool,
    /// Whether it is in the queue.
    warm: AtomicBool,
    /// Whether it was called since the queue last looked.
    used: AtomicBool,
}

impl Snapshot {
    pub fn new(module: Module, mapped: bool) -> Snapshot {
        let snapshot = Snapshot { module, mapped, warm: AtomicBool::new(false), used: AtomicBool::new(false) };
        // Reading its headers has mapped pages too.
        snapshot.let_go();
        snapshot
    }

    /// Takes its pages out of this process.
    fn let_go(&self) {
        if !self.mapped {
            return;
        }
        let image = self.module.image_range();
        let length = image.end.addr() - image.start.addr();
        // SAFETY: the image is a private mapping of a file, as `deserialize_file`
        // made it, and begins on a page. Nothing was written to it: wasmtime refuses
        // relocations and makes all of it read-only. So each page can be dropped at
        // any time, and reads the same afterwards.
        let advised =
            unsafe { rustix::mm::madvise(image.start.cast_mut().cast(), length, rustix::mm::Advice::LinuxDontNeed) };
        if let Err(reason) = advised {
            tracing::debug!(%reason, "a script's pages stay resident");
        }
    }
}

/// The scripts that keep their pages, by the second-chance algorithm: a call of
/// one that is among them writes one flag.
pub struct Warm {
    queue: Mutex<VecDeque<Weak<Snapshot>>>,
    capacity: usize,
}

impl Warm {
    pub fn new(capacity: usize) -> Warm {
        Warm { queue: Mutex::default(), capacity }
    }

    /// Notes a call.
    pub fn called(&self, snapshot: &Arc<Snapshot>) {
        if snapshot.warm.load(Ordering::Relaxed) {
            if !snapshot.used.load(Ordering::Relaxed) {
                snapshot.used.store(true, Ordering::Relaxed);
            }
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshot.warm.swap(true, Ordering::Relaxed) {
            return;
        }
        queue.push_back(Arc::downgrade(snapshot));
        while queue.len() > self.capacity {
            let Some(oldest) = queue.pop_front() else { break };
            let Some(oldest) = oldest.upgrade() else { continue };
            if oldest.used.swap(false, Ordering::Relaxed) {
                queue.push_back(Arc::downgrade(&oldest));
            } else {
                oldest.warm.store(false, Ordering::Relaxed);
                oldest.let_go();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(engine: &wasmtime::Engine) -> Arc<Snapshot> {
        // An empty module.
        Arc::new(Snapshot::new(Module::new(engine, b"\0asm\x01\0\0\0").unwrap(), false))
    }

    #[test]
    fn those_that_were_called_of_late_stay_warm() {
        let engine = wasmtime::Engine::default();
        let warm = Warm::new(2);
        let snapshots: Vec<_> = (0..4).map(|_| snapshot(&engine)).collect();
        let states = || snapshots.iter().map(|snapshot| snapshot.warm.load(Ordering::Relaxed)).collect::<Vec<_>>();
        warm.called(&snapshots[0]);
        warm.called(&snapshots[1]);
        assert_eq!(states(), [true, true, false, false]);
        // The first was called again, so the second goes.
        warm.called(&snapshots[0]);
        warm.called(&snapshots[2]);
        assert_eq!(states(), [true, false, true, false]);
        // Its chance put it behind the third, which was called but once.
        warm.called(&snapshots[3]);
        assert_eq!(states(), [true, false, false, true]);
    }

    #[test]
    fn the_queue_forgets_scripts_that_are_gone() {
        let engine = wasmtime::Engine::default();
        let warm = Warm::new(3);
        for _ in 0..100 {
            warm.called(&snapshot(&engine));
        }
        assert!(warm.queue.lock().unwrap().len() <= 3);
    }
}
