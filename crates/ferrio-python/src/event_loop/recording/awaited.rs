//! The recordings that wait for a loop: each is of the next loop that its thread runs.
//!
//! Invariant: a thread has one at most, apart from those that are over.

use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_cpython::{GilCell, Seams, error, thread_identifier};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

/// Whether there is any. Relaxed throughout: ordered by the GIL.
static IS_ANY: AtomicBool = AtomicBool::new(false);
static AWAITED: GilCell<Vec<Awaited>> = GilCell::new(Vec::new());

struct Awaited {
    recording: Py<PyAny>,
    seams: &'static Seams,
    thread: u64,
}

#[inline]
pub(super) fn is_any() -> bool {
    IS_ANY.load(Ordering::Relaxed)
}

/// Lets the next loop that the calling thread runs have this recording.
///
/// # Errors
/// `RuntimeError` if it is to have another one that is not over, and `MemoryError`.
pub(super) fn add(
    recording: &Bound<'_, PyAny>,
    seams: &'static Seams,
    is_over: impl Fn(&Bound<'_, PyAny>) -> bool,
) -> PyResult<()> {
    let py = recording.py();
    let thread = thread_identifier(py);
    drop(remove(py, |awaited| awaited.thread == thread && is_over(awaited.recording.bind(py))));
    let awaited = Awaited { recording: recording.clone().unbind(), seams, thread };
    let refused = AWAITED.with(py, |all| {
        let has_other = all.iter().any(|other| other.thread == thread);
        if has_other || all.try_reserve(1).is_err() {
            return Some((awaited, has_other));
        }
        all.push(awaited);
        IS_ANY.store(true, Ordering::Relaxed);
        None
    });
    match refused {
        None => Ok(()),
        Some((_, true)) => {
            Err(error::<PyRuntimeError>("another recording of this thread waits for its next loop already"))
        }
        Some((_, false)) => Err(error::<PyMemoryError>(())),
    }
}

/// The recording that waits for a loop of the calling thread.
pub(super) fn take(py: Python<'_>) -> Option<(Bound<'_, PyAny>, &'static Seams)> {
    let thread = thread_identifier(py);
    let Awaited { recording, seams, .. } = remove(py, |awaited| awaited.thread == thread)?;
    Some((recording.into_bound(py), seams))
}

/// This one waits no more.
pub(super) fn forget(recording: &Bound<'_, PyAny>) {
    drop(remove(recording.py(), |awaited| awaited.recording.is(recording)));
}

/// What it gives is to be dropped outside of all borrows.
fn remove(py: Python<'_>, is_it: impl Fn(&Awaited) -> bool) -> Option<Awaited> {
    AWAITED.with(py, |all| {
        let place = all.iter().position(is_it)?;
        let removed = all.swap_remove(place);
        IS_ANY.store(!all.is_empty(), Ordering::Relaxed);
        Some(removed)
    })
}
