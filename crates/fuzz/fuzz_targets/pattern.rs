#![no_main]

// `haul` is a program and no library.
#[path = "../../haul/src/expand.rs"]
mod expand;
#[path = "../../haul/src/fuzzing.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::pattern(bytes));
