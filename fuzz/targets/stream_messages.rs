//! Fuzzes how a stream reader cuts messages.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/stream_messages.rs"]
mod checks;

fuzz_target!(|input: &[u8]| checks::check(input));
