//! libFuzzer feeds `lyceum_fuzz::idempotency_key`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::idempotency_key(data));
