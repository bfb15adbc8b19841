//! `lyceum-load`: checks scenarios, runs them, finds capacities, compares and merges results. See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lyceum_loadtest::cli::main()
}
