//! libFuzzer feeds `lyceum_fuzz::cursor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::cursor(data));
