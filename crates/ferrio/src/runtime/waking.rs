//! Waking who waits, whatever their wakers do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes. A waker may be foreign code, such as a combinator's: a panic in it was reported by its hook, and does not keep
/// the caller from what it has left to do, for other tasks.
#[inline]
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}
