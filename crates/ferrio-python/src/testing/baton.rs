//! `Baton`: lets one of two threads run at a time, with one switch of threads for each hand-over.
//!
//! Each thread has a baton of its own. A thread that calls the other one lets the interpreter go before it does, so that
//! the other one need not wait for it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

/// How often a waiting thread looks for signals.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Signal {
    given: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn give(&self) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits until the baton is given, and takes it; false if that took too long.
    fn take(&self) -> bool {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(given, PATIENCE, |given| !*given);
        let (mut given, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *given)
    }
}

/// What a thread waits for.
#[pyclass(frozen, module = "ferrio._ferrio")]
#[derive(Default)]
pub(crate) struct Baton(Arc<Signal>);

#[pymethods]
impl Baton {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Let the thread that has this baton go on.
    fn give(&self) {
        self.0.give();
    }

    /// Wait until the baton is given.
    fn take(&self, py: Python<'_>) -> PyResult<()> {
        self.wait(py, None)
    }

    /// Let the thread that has the other baton go on, and wait for this one.
    fn swap(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        self.wait(py, Some(&other.0))
    }
}

impl Baton {
    fn wait(&self, py: Python<'_>, first: Option<&Arc<Signal>>) -> PyResult<()> {
        let mut given = py.detach(|| {
            if let Some(other) = first {
                other.give();
            }
            self.0.take()
        });
        while !given {
            py.check_signals()?;
            given = py.detach(|| self.0.take());
        }
        Ok(())
    }
}
