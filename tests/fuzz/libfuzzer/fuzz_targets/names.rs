//! libFuzzer feeds `lyceum_fuzz::names`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::names(data));
