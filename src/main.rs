//! See `airlock::cli`.

/// What a call takes is often given back by another thread: the C library's
/// allocator then waits for a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    airlock::cli::main()
}
