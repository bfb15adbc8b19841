//! libFuzzer feeds `lyceum_fuzz::money`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::money(data));
