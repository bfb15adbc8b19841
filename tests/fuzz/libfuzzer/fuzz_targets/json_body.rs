//! libFuzzer feeds `lyceum_fuzz::json_body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lyceum_fuzz::json_body(data));
