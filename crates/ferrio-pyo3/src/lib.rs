//! `PyO3` with trampolines that survive a lack of memory, under the name by which its macros refer to it.
//!
//! `ferrio_cpython::capi::pyo3_trampolines` describes the difference.
#![forbid(unsafe_code)]

pub use ferrio_cpython::capi::pyo3_trampolines::bindings::*;
