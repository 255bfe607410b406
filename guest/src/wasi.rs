//! What the C library asks of WASI. The host's build binds each import of
//! `wasi_snapshot_preview1` to the function of that name here, so the finished
//! engine imports nothing of WASI.
//!
//! Safety of the writes: the pointers are the C library's own out parameters.

use crate::airlock::script::utils;
use crate::state;

const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;

/// The wall clock comes from the host. While a script is compiled it stands at
/// the Unix epoch, so that no artifact holds the time of its compilation.
#[unsafe(export_name = "airlock_wasi_clock_time_get")]
extern "C" fn clock_time_get(_clock: i32, _precision: i64, time: *mut u64) -> i32 {
    let nanoseconds = if state::calling() { utils::now().saturating_mul(1000) } else { 0 };
    // SAFETY: see the module.
    unsafe { time.write_unaligned(nanoseconds) };
    SUCCESS
}

/// Only hash seeds ask for it. Nothing in the engine that a script can reach
/// hashes with them.
#[unsafe(export_name = "airlock_wasi_random_get")]
extern "C" fn random_get(buffer: *mut u8, length: i32) -> i32 {
    // SAFETY: see the module.
    unsafe { std::ptr::write_bytes(buffer, 0, length as usize) };
    SUCCESS
}

#[unsafe(export_name = "airlock_wasi_environ_get")]
extern "C" fn environ_get(_environ: *mut *mut u8, _buffer: *mut u8) -> i32 {
    SUCCESS
}

#[unsafe(export_name = "airlock_wasi_environ_sizes_get")]
extern "C" fn environ_sizes_get(count: *mut u32, size: *mut u32) -> i32 {
    // SAFETY: see the module.
    unsafe {
        count.write_unaligned(0);
        size.write_unaligned(0);
    }
    SUCCESS
}

#[unsafe(export_name = "airlock_wasi_fd_close")]
extern "C" fn fd_close(_descriptor: i32) -> i32 {
    BAD_DESCRIPTOR
}

#[unsafe(export_name = "airlock_wasi_fd_fdstat_get")]
extern "C" fn fd_fdstat_get(_descriptor: i32, _status: i32) -> i32 {
    BAD_DESCRIPTOR
}

#[unsafe(export_name = "airlock_wasi_fd_seek")]
extern "C" fn fd_seek(_descriptor: i32, _offset: i64, _whence: i32, _position: i32) -> i32 {
    BAD_DESCRIPTOR
}

#[unsafe(export_name = "airlock_wasi_fd_write")]
extern "C" fn fd_write(_descriptor: i32, _vectors: i32, _count: i32, _written: i32) -> i32 {
    BAD_DESCRIPTOR
}

#[unsafe(export_name = "airlock_wasi_proc_exit")]
extern "C" fn proc_exit(_code: i32) {
    core::arch::wasm32::unreachable()
}
