//! What happened, a line for each step: hashed always, kept when somebody wants to read it.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use crate::core::Time;

/// Lines that are kept.
const KEPT_MAX: usize = 200_000;

/// The trace of one run.
pub(crate) struct Trace {
    hash: Fnv,
    kept: Option<VecDeque<String>>,
    pub(crate) steps: u64,
}

impl Trace {
    /// A trace that keeps its lines, or only their hash.
    pub(crate) fn new(keep: bool) -> Self {
        Trace {
            hash: Fnv(0xcbf2_9ce4_8422_2325),
            kept: keep.then(VecDeque::new),
            steps: 0,
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, now: Time, what: fmt::Arguments<'_>) {
        self.steps += 1;
        let _ = writeln!(self.hash, "{now} {what}");
        if let Some(kept) = &mut self.kept {
            if kept.len() == KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(format!("{:>7}.{:03} ms  {what}", now / 1000, now % 1000));
        }
    }

    /// The hash of all lines so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    /// The lines that were kept, oldest first.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.kept.unwrap_or_default().into()
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_its_authors() {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);

        hash.write_str("foobar").expect("it never fails");

        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}
