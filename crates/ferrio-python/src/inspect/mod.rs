//! What `ferrio.inspect` needs from the extension: the threads that answer questions from outside.
//!
//! What a snapshot holds is collected in Python (`python/ferrio/inspect`). Only the collector's thread calls Python, and
//! never while the listener waits for it: see `ferrio_sys::inspection`.

pub(crate) mod connections;
pub(crate) mod failures;
pub(crate) mod figures;
pub(crate) mod jobs;
pub(crate) mod other_processes;
mod partial;
pub(crate) mod recording;
pub(crate) mod scheduled;
pub(crate) mod watchdog;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ferrio_sys::inspection::{Collect, Service, Settings, Shared};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::event_loop::exception_handler;

/// The answer when the function that makes answers has failed itself, as for lack of memory.
const FAILED: &[u8] = b"{\"error\": \"the snapshot failed\"}";

/// The threads that serve a listening Unix socket, once it is started; as with `Watchdog`, the object comes first.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct InspectionService(OnceLock<Service>);

#[pymethods]
impl InspectionService {
    #[new]
    fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Starts the threads, once, for the listening socket `fd`. The users `allowed` may ask, besides this one and root;
    /// `answer` makes the answer to a request, both as bytes.
    fn start(
        &self,
        fd: i32,
        allowed: Vec<u32>,
        greeting: Vec<u8>,
        partial: Vec<u8>,
        answer: Py<PyAny>,
    ) -> PyResult<()> {
        if self.0.get().is_some() {
            return Err(ferrio_cpython::error::<PyRuntimeError>("the service has been started already"));
        }
        let settings = Settings { listener: fd, allowed, greeting, partial };
        let started = Service::start(settings, |shared| collector(shared, answer));
        let _ = self.0.set(started.map_err(|error| exception_handler::from_io(&error))?);
        Ok(())
    }

    /// Lets other threads have the interpreter for a while. False if the service is to end.
    fn pause(&self, py: Python<'_>, seconds: f64) -> bool {
        let pause = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let Some(shared) = self.shared() else { return false };
        let goes_on = py.detach(|| shared.pause(pause));
        shared.note_progress();
        goes_on
    }

    /// Ends the threads, and waits for it.
    fn stop(&self, py: Python<'_>) {
        if let Some(started) = self.0.get() {
            py.detach(|| started.stop());
        }
    }
}

impl InspectionService {
    /// What its threads share.
    fn shared(&self) -> Option<&Arc<Shared>> {
        self.0.get().map(Service::shared)
    }
}

fn collector(shared: Arc<Shared>, answer: Py<PyAny>) -> Collect {
    Box::new(move |request| {
        Python::try_attach(|py| {
            shared.note_progress();
            if shared.is_ending() {
                return None;
            }
            let answer = answer.bind(py).call1((PyBytes::new(py, request),));
            // The function reports its errors itself; an error here is a lack of memory, or the interpreter's end.
            let bytes = answer.and_then(|answer| Ok(answer.cast::<PyBytes>()?.as_bytes().to_vec()));
            Some(bytes.unwrap_or_else(|_| FAILED.to_vec()))
        })
        .flatten()
    })
}
