//! A Python callable that wakes a future.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::panics::{caught, for_python};

/// Wakes whoever waits, whatever the arguments.
#[pyclass(frozen, module = "ferrio_bridge")]
pub(crate) struct WakeCallback {
    waker: Mutex<Option<Waker>>,
    was_called: AtomicBool,
}

impl WakeCallback {
    pub(crate) fn new(waker: &Waker) -> Self {
        Self { waker: Mutex::new(Some(waker.clone())), was_called: AtomicBool::new(false) }
    }

    pub(crate) fn was_called(&self) -> bool {
        self.was_called.load(Ordering::Acquire)
    }

    /// Lets it wake `waker` from now on.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut place = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.as_ref().is_some_and(|before| before.will_wake(waker)) {
            let before = place.replace(waker.clone());
            drop(place);
            drop(before);
        }
    }

    /// Wakes nobody from now on.
    pub(crate) fn disarm(&self) {
        let before = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(before);
    }
}

#[pymethods]
impl WakeCallback {
    #[pyo3(signature = (*arguments))]
    fn __call__(&self, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.was_called.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A combinator's waker is foreign code.
        for_python(arguments.py(), || caught(|| waker.map(Waker::wake)).map(drop))
    }
}
