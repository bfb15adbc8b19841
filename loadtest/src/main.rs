//! `lyceum-load`: checks scenarios, runs them, finds capacities, compares and merges results. See the library.

use std::process::ExitCode;

/// A request allocates a dozen times; with the system's allocator that is a tenth of its cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lyceum_loadtest::cli::main()
}
