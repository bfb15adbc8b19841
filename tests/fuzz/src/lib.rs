//! Fuzz targets for the parsers that are ours: each takes any bytes and panics when a promise of its parser is broken.
//!
//! A target is a plain function, so stable Rust builds and tries it: the test below feeds each with seeded bytes that
//! resemble what it parses. `libfuzzer/` wraps the same functions for cargo-fuzz where nightly exists:
//! `cd tests/fuzz/libfuzzer && cargo +nightly fuzz run ids`.

mod edge;
mod values;

pub use self::edge::{bearer, callback, cursor, idempotency_key, json_body};
pub use self::values::{ids, money, names, time};

/// A name, a function, and examples of what it parses.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// All targets.
pub const TARGETS: [Target; 9] = [
    (
        "bearer",
        bearer,
        &["Bearer abc.def.ghi", "bearer  x", "Basic eA=="],
    ),
    (
        "callback",
        callback,
        &[
            "evt_1\n1700000000\nv1,aGVsbG8= v1,x\n{\"type\":\"charge.succeeded\",\"data\":{\"key\":\"a-1\",\"amount\":5,\"currency\":\"CNY\",\"state\":\"succeeded\"}}",
            "evt_2\n-1\nv1a,AAAA\n{\"type\":\"refund.failed\",\"data\":{}}",
        ],
    ),
    (
        "cursor",
        cursor,
        &[
            "n00000000000004d2-0190163d8694739bb5ddafb7fb7a3bc2",
            "te4bda0-0190163d8694739bb5ddafb7fb7a3bc2",
        ],
    ),
    (
        "idempotency_key",
        idempotency_key,
        &["tour-12", "0b0f7c9e-6f2e-4f5e-8e3f-2f6d"],
    ),
    (
        "ids",
        ids,
        &["usr_01h455vb4pex5vsknk084sn02q", "crs_7zzzzzzzzzzzzzzzzzzzzzzzzz"],
    ),
    (
        "json_body",
        json_body,
        &[
            "{\"events\":[{\"type\":\"rate\",\"course_id\":\"crs_01h455vb4pex5vsknk084sn02q\",\"value\":4.5}]}",
            "{\"events\":[{\"type\":\"view\",\"course_id\":7,\"a~b/c\":[{}]}],\"x\":null}",
        ],
    ),
    (
        "money",
        money,
        &[
            "{\"amount\":19900,\"currency\":\"CNY\"}",
            "{\"amount\":-1,\"currency\":\"EUR\"}",
        ],
    ),
    (
        "names",
        names,
        &["ada.lovelace", "ada@example.com", "data-ai", "zh-hant"],
    ),
    (
        "time",
        time,
        &[
            "2026-11-22T09:30:00Z",
            "1970-01-01t00:00:00.123456789z",
            "2024-02-30T25:00:00Z",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough to meet every branch of a parser from the examples, and a second in all.
    const TRIES: u64 = 20_000;

    /// Seeded, so that what fails once fails again (xorshift64*, Vigna 2016).
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
            usize::try_from(drawn).unwrap() % limit.max(1)
        }

        fn byte(&mut self) -> u8 {
            u8::try_from(self.below(256)).unwrap()
        }
    }

    fn changed(dice: &mut Dice, example: &[u8]) -> Vec<u8> {
        let mut bytes = example.to_vec();
        for _ in 0..dice.below(6) {
            let at = dice.below(bytes.len());
            match dice.below(5) {
                0 if !bytes.is_empty() => bytes[at] = dice.byte(),
                1 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                2 => bytes.insert(at, dice.byte()),
                // Known symbols in other places find more than unknown ones.
                3 if !bytes.is_empty() => bytes[at] = example[dice.below(example.len())],
                _ => bytes.truncate(at + 1),
            }
        }
        bytes
    }

    #[test]
    fn no_target_breaks_on_what_resembles_its_input() {
        for (seed, (name, target, examples)) in (1..).zip(TARGETS) {
            let mut dice = Dice(seed);
            for example in examples {
                target(example.as_bytes());
            }
            for attempt in 0..TRIES {
                let example = examples[dice.below(examples.len())];
                let bytes = changed(&mut dice, example.as_bytes());
                let outcome = std::panic::catch_unwind(|| target(&bytes));
                assert!(
                    outcome.is_ok(),
                    "{name}, attempt {attempt}: {:?}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
    }

    #[test]
    fn every_target_has_its_wrapper_for_libfuzzer() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for (name, _, _) in TARGETS {
            let wrapper = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();

            assert!(wrapper.contains(&format!("lyceum_fuzz::{name}(data)")), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
