#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haul_transfer::fuzzing::content_range(bytes));
