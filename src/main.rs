//! Arguments, settings, run, exit code; everything else is in the library.

use std::process::ExitCode;

/// The system allocator gives one core's worth of requests back slower than it takes them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lyceum::cli::main()
}
