//! Fuzzes the write buffer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/write_buffer.rs"]
mod checks;

fuzz_target!(|input: &[u8]| checks::check(input));
