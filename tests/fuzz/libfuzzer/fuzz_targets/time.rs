//! libFuzzer feeds `lyceum_fuzz::time`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::time(data));
