//! libFuzzer feeds `lyceum_fuzz::ids`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::ids(data));
