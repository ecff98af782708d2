//! The watchdog as Python sees it: it calls one function to take samples and one when a block has ended.
//!
//! The sampler's thread alone waits for the interpreter; see `ferrio_sys::watching`. What can be known of a block
//! without the interpreter's lock is put together in `partial`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ferrio_cpython::LoopBase;
use ferrio_cpython::objects::watching::{self, Watch};
use ferrio_sys::watching as native;
use ferrio_sys::watching::{BOUNDS, Sample, TakeSample};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{InspectionService, partial};
use crate::event_loop::exception_handler;

/// The threads that watch the running loops, once it is started.
///
/// An object without threads comes first: were it refused memory after they have started, nobody could end them.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Watchdog(OnceLock<native::Watchdog>);

#[pymethods]
impl Watchdog {
    #[new]
    fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Starts the threads, once. A callback that runs for longer than `limit` seconds is a block; `sample` gets the
    /// address of its loop, its number and how long it has lasted, `ended` the loop, the number, how long it was, and
    /// the task. `native_threads` has the system's numbers of threads; `asyncio` is where asyncio's own files are.
    fn start(
        &self,
        py: Python<'_>,
        limit: f64,
        sample: Py<PyAny>,
        ended: Py<PyAny>,
        native_threads: HashMap<u64, u32>,
        asyncio: String,
    ) -> PyResult<()> {
        if self.0.get().is_some() {
            return Err(ferrio_cpython::error::<PyRuntimeError>("the watchdog has been started already"));
        }
        let limit = Duration::try_from_secs_f64(limit).ok().filter(|limit| !limit.is_zero());
        let limit = limit.ok_or_else(|| ferrio_cpython::error::<PyValueError>("the limit must be above 0"))?;
        let started = native::Watchdog::start(limit, partial::describer(py, asyncio), sampler(sample));
        let started = started.map_err(|error| exception_handler::from_io(&error))?;
        let watch = Watch { shared: Arc::clone(started.shared()), ended };
        let _ = self.0.set(started);
        watching::switch(py, Some(watch), |thread| native_threads.get(&thread).copied().unwrap_or(0));
        Ok(())
    }

    /// Watches no more, and ends the threads.
    fn stop(&self, py: Python<'_>) {
        if let Some(started) = self.0.get() {
            watching::switch(py, None, |_| 0);
            py.detach(|| started.stop());
        }
    }

    /// Sends what `publish` gets, and what the watchdog itself says, to the clients of this service that watch.
    fn publish_to(&self, service: Option<&Bound<'_, InspectionService>>) {
        if let Some(started) = self.0.get() {
            started.shared().set_audience(service.and_then(|service| service.get().shared().map(Arc::clone)));
        }
    }

    /// Sends a line to them.
    fn publish(&self, report: &Bound<'_, PyBytes>) {
        if let Some(started) = self.0.get() {
            started.shared().publish(report.as_bytes());
        }
    }

    /// What was said of a block while no sample could be taken, as JSON; None if nothing was.
    fn take_partial<'py>(&self, py: Python<'py>, block: u64) -> Option<Bound<'py, PyBytes>> {
        self.0.get()?.shared().take_partial(block).map(|report| PyBytes::new(py, &report))
    }
}

/// The loops of ferrio's that run, with the identifiers of the frames that run them, or 0.
#[pyfunction]
#[pyo3(name = "_running_loops")]
pub(crate) fn running_loops(py: Python<'_>) -> Vec<(Bound<'_, LoopBase>, usize)> {
    watching::running(py).into_iter().map(|(owner, _, frame)| (owner, frame)).collect()
}

/// The number of the block that is open in this loop; 0 for none.
#[pyfunction]
#[pyo3(name = "_open_block")]
pub(crate) fn open_block(owner: &Bound<'_, LoopBase>) -> u64 {
    owner.get().pulse().map_or(0, |pulse| pulse.block())
}

/// The histogram of a loop's delay: the upper bounds of its buckets in milliseconds, the counts, the sum and the longest
/// in nanoseconds; None if the loop was never watched.
#[pyfunction]
#[pyo3(name = "_loop_delay")]
pub(crate) fn loop_delay(owner: &Bound<'_, PyAny>) -> Option<(Vec<u64>, Vec<u64>, u64, u64)> {
    let pulse = owner.cast::<LoopBase>().ok()?.get().last_pulse()?;
    let (counts, sum, longest) = pulse.delays.read();
    Some((BOUNDS.to_vec(), counts, sum, longest))
}

/// In a child made by `fork`: forgets the loops that ran in the parent.
#[pyfunction]
#[pyo3(name = "_forget_running_loops")]
pub(crate) fn forget_running_loops(py: Python<'_>) {
    watching::forget_running(py);
}

fn sampler(sample: Py<PyAny>) -> TakeSample {
    Box::new(move |asked: Sample| {
        let goes_on = Python::try_attach(|py| {
            let arguments = (asked.owner, asked.block, asked.lasted.as_secs_f64());
            // The function reports its errors itself; an error here is a lack of memory, or the interpreter's end.
            let _ = sample.bind(py).call1(arguments);
        });
        goes_on.is_some()
    })
}

/// The task of ferrio's whose step runs on this loop.
#[pyfunction]
#[pyo3(name = "_running_task")]
pub(crate) fn running_task<'py>(owner: &Bound<'py, LoopBase>) -> Option<Bound<'py, PyAny>> {
    LoopBase::running_task(owner)
}
