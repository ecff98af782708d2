//! Work that ferrio's objects postpone to the end of the callback that runs: before the next callback, and before the
//! loop sleeps or stops.
//!
//! Invariant: the list is empty between callbacks. A nested run of the loop, `os.fork`, the exception handler and the
//! start of a child process come after the work. What the work itself calls may do any of these: so each entry leaves
//! the list before its action runs, and whoever finds the list empty has nobody's bytes in the places.

use std::collections::VecDeque;

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::current::running_loop;
use ferrio_cpython::{GilCell, LoopBase, thread_identifier};
use ferrio_sys::{PendingWrites, pending_writes};
use pyo3::prelude::*;

use crate::event_loop::end_of_turn::EndAction;
use crate::event_loop::{Loop, base};

/// A loop's objects with work to do when the callback ends, and the bytes they hold till then.
#[derive(Default)]
pub(crate) struct EndOfCallback {
    listed: GilCell<VecDeque<(OwnedRef<PyAny>, EndAction)>>,
    /// Made for the first bytes.
    pending_writes: GilCell<Option<PendingWrites>>,
}

impl EndOfCallback {
    /// Uses the loop's held writes; None if they are the parent process's, to which a forked child leaves them.
    #[inline]
    pub(crate) fn with_pending_writes<R>(
        &self,
        py: Python<'_>,
        use_them: impl FnOnce(&PendingWrites) -> R,
    ) -> Option<R> {
        self.pending_writes.with(py, |writes| writes.as_ref().filter(|writes| writes.is_own()).map(use_them))
    }

    /// As `with_pending_writes`, for code that adds to them in a turn which began in this process.
    #[inline]
    pub(crate) fn with_own_pending_writes<R>(&self, py: Python<'_>, use_them: impl FnOnce(&PendingWrites) -> R) -> R {
        self.pending_writes.with(py, |writes| {
            let writes = writes.get_or_insert_with(PendingWrites::default);
            if !writes.is_own() {
                writes.abandon();
            }
            use_them(writes)
        })
    }
}

/// Postpones `action` on `object` to the end of the callback. False if there is no memory.
pub(crate) fn postpone(slf: &Bound<'_, Loop>, object: &Bound<'_, PyAny>, action: EndAction) -> bool {
    let py = slf.py();
    let listed = slf.get().io.end_of_callback.listed.with(py, |listed| {
        let has_room = listed.try_reserve(1).is_ok();
        if has_room {
            listed.push_back((OwnedRef::of(object), action));
        }
        has_room
    });
    if listed {
        base(slf).at_end_of_callback(py, finish_base);
    }
    listed
}

fn finish_base(slf: &Bound<'_, LoopBase>) -> PyResult<()> {
    slf.cast::<Loop>().map_or(Ok(()), finish)
}

/// Does what is postponed.
#[inline]
pub(crate) fn finish(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let this = &slf.get().io.end_of_callback;
    if this.listed.with(py, |listed| listed.is_empty()) { Ok(()) } else { run_all(slf) }
}

fn run_all(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let this = &slf.get().io.end_of_callback;
    let mut outcome = Ok(());
    // An action may call a protocol, which may write to any connection and so postpone more.
    while let Some((object, action)) = this.listed.with(py, VecDeque::pop_front) {
        outcome = outcome.and(action(object.bind(py)));
    }
    let _ = this.with_pending_writes(py, PendingWrites::end_callback);
    outcome
}

/// Does what is postponed before the callback goes on, if the loop's own thread asks for it.
#[inline]
pub(crate) fn finish_early(slf: &Bound<'_, Loop>) -> PyResult<()> {
    if base(slf).thread() == Some(thread_identifier(slf.py())) { finish(slf) } else { Ok(()) }
}

/// Lets `os.fork` send what the parent's callback holds, as if it had been sent when it was written, and end the threads
/// that look after held bytes.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn watch_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let keywords = memory::dict(py)?;
    keywords.set_item(name!("before"), pyo3::wrap_pyfunction!(before_fork, module)?)?;
    ferrio_cpython::module(py, name!("os"))?.getattr(name!("register_at_fork"))?.call((), Some(&keywords)).map(drop)
}

#[pyfunction]
fn before_fork(py: Python<'_>) -> PyResult<()> {
    if let Some(running) = running_loop(py)?
        && let Ok(ours) = running.cast::<Loop>()
    {
        finish(ours)?;
    }
    pending_writes::end_threads();
    Ok(())
}
