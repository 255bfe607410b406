//! QuickJS's heap (guest/build/quickjs.rs binds it). A call takes small blocks
//! from lists by their size, and all others from the C library. Taking and giving
//! back was a quarter of a short call with the C library's alone, which splits
//! and merges. A list's blocks serve no other size; a call is short.
//!
//! While a script is loaded all come from the C library, which packs better: the
//! snapshot stays small.

use core::ffi::c_void;
use core::ptr;

use crate::wipe;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut u8;
    fn calloc(count: usize, size: usize) -> *mut u8;
    fn realloc(value: *mut u8, size: usize) -> *mut u8;
    fn free(value: *mut u8);
    fn malloc_usable_size(value: *mut u8) -> usize;
}

/// The C library's values lie at multiples of 16, those of the lists 8 beyond:
/// that tells them apart. Before the latter stands the size of the block.
const ALIGNMENT: usize = 16;
const HEADER: usize = 8;
/// The largest value that comes from a list.
const SMALL: usize = 512 - HEADER;
/// Blocks are cut from chunks of this size.
const CHUNK: usize = 16 << 10;

struct Heap {
    /// By the block's size: the last value that was given back, which holds the
    /// address of the one before.
    free: [*mut u8; (SMALL + HEADER) / ALIGNMENT + 1],
    /// What is left of the newest chunk.
    next: *mut u8,
    left: usize,
}

/// An instance has one thread.
static mut HEAP: Heap =
    Heap { free: [ptr::null_mut(); (SMALL + HEADER) / ALIGNMENT + 1], next: ptr::null_mut(), left: 0 };

fn is_listed(value: *const u8) -> bool {
    value.addr() % ALIGNMENT == HEADER
}

/// The whole block for a value of that size.
fn block(size: usize) -> usize {
    (size + HEADER).next_multiple_of(ALIGNMENT)
}

unsafe fn header(value: *mut u8) -> *mut usize {
    unsafe { value.sub(HEADER).cast() }
}

/// Leaves at least so much room at the end of the memory that there is.
pub fn reserve(room: usize) {
    // SAFETY: the block is given back as it came, with no other use.
    unsafe { free(core::hint::black_box(malloc(room))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn airlock_malloc(_: *mut c_void, size: usize) -> *mut u8 {
    unsafe {
        if size > SMALL || wipe::loading() {
            return malloc(size);
        }
        let block = block(size);
        let heap = &mut *(&raw mut HEAP);
        let list = &mut heap.free[block / ALIGNMENT];
        let value = *list;
        if !value.is_null() {
            *list = value.cast::<*mut u8>().read();
            return value;
        }
        // What is left of a chunk is too small for this; it stays unused.
        if heap.left < block {
            let chunk = malloc(CHUNK);
            if chunk.is_null() {
                return chunk;
            }
            (heap.next, heap.left) = (chunk, CHUNK);
        }
        let value = heap.next.add(HEADER);
        header(value).write(block);
        heap.next = heap.next.add(block);
        heap.left -= block;
        value
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn airlock_calloc(opaque: *mut c_void, count: usize, size: usize) -> *mut u8 {
    unsafe {
        match count.checked_mul(size) {
            Some(size) if size <= SMALL => {
                let value = airlock_malloc(opaque, size);
                if !value.is_null() {
                    value.write_bytes(0, size);
                }
                value
            }
            _ => calloc(count, size),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn airlock_free(_: *mut c_void, value: *mut u8) {
    unsafe {
        if is_listed(value) {
            let heap = &mut *(&raw mut HEAP);
            let list = &mut heap.free[header(value).read() / ALIGNMENT];
            value.cast::<*mut u8>().write(*list);
            *list = value;
            return;
        }
        if wipe::loading() && !value.is_null() {
            value.write_bytes(0, malloc_usable_size(value));
        }
        free(value);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn airlock_realloc(opaque: *mut c_void, value: *mut u8, size: usize) -> *mut u8 {
    unsafe {
        if value.is_null() {
            return airlock_malloc(opaque, size);
        }
        if is_listed(value) {
            if size <= SMALL && block(size) == header(value).read() {
                return value;
            }
        } else if size > SMALL && !wipe::loading() {
            return realloc(value, size);
        }
        let moved = airlock_malloc(opaque, size);
        if !moved.is_null() {
            moved.copy_from_nonoverlapping(value, airlock_usable_size(value).min(size));
            airlock_free(opaque, value);
        }
        moved
    }
}

/// What fits the value's block.
#[unsafe(no_mangle)]
unsafe extern "C" fn airlock_usable_size(value: *mut u8) -> usize {
    unsafe { if is_listed(value) { header(value).read() - HEADER } else { malloc_usable_size(value) } }
}
