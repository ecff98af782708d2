//! Fuzzes the framing of TLS records.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/tls_records.rs"]
mod checks;

fuzz_target!(|input: &[u8]| checks::check(input));
