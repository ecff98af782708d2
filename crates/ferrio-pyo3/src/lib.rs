//! `PyO3` with trampolines that survive a lack of memory, under the name by which its macros refer to it.
//!
//! `ferrio_cpython::trampolines` says what differs.
#![forbid(unsafe_code)]

pub use ferrio_cpython::trampolines::bindings::*;
