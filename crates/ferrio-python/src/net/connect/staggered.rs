//! Parallel attempts through asyncio's own `staggered_race`, for a loop whose subclass overrides `sock_connect`: such a
//! method is Python code that may do anything while it connects, so each attempt needs a task.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::async_block::{Channel, Coroutine};
use crate::event_loop::Loop;
use crate::net::connect::attempt::{Failures, connect_one};

/// A connect attempt, as a callable that returns its coroutine.
#[pyclass(frozen)]
pub(crate) struct Attempt {
    this: Py<Loop>,
    info: Py<PyAny>,
    local: Option<Py<PyAny>>,
    errors: GilCell<Vec<PyErr>>,
}

/// Connects to the first address that answers; None if none does, with the `OSError`s in `failures`.
///
/// # Errors
/// Exceptions thrown into the coroutine, `SystemExit` and `KeyboardInterrupt`.
pub(crate) async fn race(
    this: &Py<Loop>,
    infos: Vec<Py<PyAny>>,
    local: Option<&Py<PyAny>>,
    delay: f64,
    failures: &mut Failures,
    channel: &Channel,
) -> PyResult<Option<Py<PyAny>>> {
    let (attempts, racing) = Python::attach(|py| {
        let attempts: Vec<_> = infos
            .into_iter()
            .map(|info| {
                let local = local.map(|local| local.clone_ref(py));
                Bound::new(py, Attempt { this: this.clone_ref(py), info, local, errors: GilCell::new(Vec::new()) })
            })
            .collect::<PyResult<_>>()?;
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("loop"), this)?;
        let race = ferrio_cpython::module(py, name!("asyncio.staggered"))?.getattr(name!("staggered_race"))?;
        let racing = race.call((memory::list(py, &attempts)?, delay), Some(&keywords))?;
        let attempts = attempts.into_iter().map(|attempt| channel.own(attempt.unbind())).collect::<Vec<_>>();
        Ok::<_, PyErr>((attempts, racing.unbind()))
    })?;
    let outcome = channel.wait(racing).await;
    Python::attach(|py| {
        for attempt in &attempts {
            failures.add(attempt.get().errors.with(py, std::mem::take));
        }
        let winner = outcome?.bind(py).get_item(0)?;
        Ok(Some(winner.unbind()).filter(|winner| !winner.is_none(py)))
    })
}

#[pymethods]
impl Attempt {
    fn __call__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let attempt = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop._connect_sock", |channel| async move {
            let attempt = channel.own(attempt);
            let this = attempt.get();
            let mut failures = Failures::default();
            let connected = connect_one(&this.this, &this.info, this.local.as_ref(), &mut failures, &channel).await?;
            let errors = failures.into_errors();
            Python::attach(|py| {
                let last = errors.last().map(|error| error.clone_ref(py));
                let before = this.errors.with(py, |place| std::mem::replace(place, errors));
                drop(before);
                match (connected, last) {
                    (None, Some(error)) => Err(error),
                    (connected, _) => Ok(connected),
                }
            })
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.this)?;
        visit.call(&self.info)?;
        visit.call(&self.local)
    }
}
