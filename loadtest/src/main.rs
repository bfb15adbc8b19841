//! `lyceum-load`: checks scenarios, runs them, compares and merges their results.

fn main() {}
