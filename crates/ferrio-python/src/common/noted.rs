//! Instants that are noted while inspection records, and cost one branch while it does not.

use ferrio_cpython::objects::recording;
use ferrio_sys::clock::monotonic;

/// Now, in nanoseconds of the monotonic clock; 0 while nothing is recorded.
#[inline]
pub(crate) fn instant() -> u64 {
    if recording::is_on() { monotonic() } else { 0 }
}
