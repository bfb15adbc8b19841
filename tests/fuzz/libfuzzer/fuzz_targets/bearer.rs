//! libFuzzer feeds `lyceum_fuzz::bearer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::bearer(data));
