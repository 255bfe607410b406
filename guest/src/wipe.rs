//! Wipes what is freed while a script is loaded. A snapshot keeps whatever is
//! not zero: the garbage of loading would be a quarter of it, for every script
//! and in every call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LOADING: Cell<bool> = const { Cell::new(true) };
}

pub fn loading() -> bool {
    LOADING.get()
}

/// From here on nothing is wiped: a call's memory is dropped as a whole.
pub fn end() {
    LOADING.set(false);
}

struct Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

// SAFETY: all is passed on to the system's allocator; what is wiped is a block
// that its owner gives up.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe {
            if loading() {
                block.write_bytes(0, layout.size());
            }
            System.dealloc(block, layout);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            if !loading() {
                return System.realloc(block, layout, size);
            }
            // Moved by hand, so that the old place is wiped.
            let moved = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// The text of a file, in memory that can be wiped.
macro_rules! text {
    ($path:literal) => {
        || {
            static mut TEXT: [u8; include_bytes!($path).len()] = *include_bytes!($path);
            &raw mut TEXT
        }
    };
}
pub(crate) use text;

/// Where a [`text!`] stands.
pub type Text = fn() -> *mut [u8];

/// Takes a text: what is left in its place is zero.
pub fn take(text: Text) -> Vec<u8> {
    // SAFETY: there is one thread, and nothing else refers to the text.
    let text = unsafe { &mut *text() };
    let taken = text.to_vec();
    text.fill(0);
    taken
}
