//! `LentThread`: the loop's thread, lent to jobs that see a thread of their own in it.
//!
//! Such a job cannot wait for the loop, whose turn it interrupts; `ferrio.testing` lends the thread only to functions
//! that did not wait when they ran in a real one.

use ferrio_cpython::capi::second_state::{HAS_SECOND_STATES, SecondState, identifier_of_state};
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyType};

use crate::testing::stand_in::unwrapped;
use crate::threads::job::Job;

/// The calling thread, as another one.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct LentThread(SecondState);

#[pymethods]
impl LentThread {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        SecondState::new(py).map(Self)
    }

    /// Whether this version of Python lets one thread have two states.
    #[classattr]
    const SUPPORTED: bool = HAS_SECOND_STATES;

    /// What `threading.get_ident` gives in it.
    #[getter]
    fn identifier(&self) -> u64 {
        self.0.identifier()
    }

    /// Run a job.
    fn run_job(&self, py: Python<'_>, job: &Bound<'_, PyAny>) -> PyResult<()> {
        let job = job.cast::<Job>()?;
        self.0.enter(py, || Job::run(job).map(drop))?
    }

    /// Call a function without arguments.
    fn call<'py>(&self, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.0.enter(function.py(), || function.call0())?
    }

    /// End it: what its locals refer to is released.
    fn close(&self, py: Python<'_>) {
        self.0.close(py);
    }

    /// `threading.get_ident`, for both: the loop's thread and the one that it plays.
    #[staticmethod]
    fn get_ident(py: Python<'_>) -> u64 {
        identifier_of_state(py)
    }

    /// The code that a job calls, the same object for each job with that code; None if it is not known before.
    #[staticmethod]
    fn code_of<'py>(job: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = job.py();
        let Some(mut function) = job.cast::<Job>().ok().and_then(|job| job.get().function(py)) else {
            return Ok(None);
        };
        if let Some(inner) = unwrapped(&function)? {
            function = inner;
        }
        if function.is_instance_of::<PyType>() {
            return Ok(Some(function));
        }
        if !function.is_exact_instance_of::<PyFunction>() {
            let Some(inner) = function.getattr_opt(name!("__func__"))? else { return Ok(None) };
            function = inner;
        }
        if function.is_exact_instance_of::<PyFunction>() { function.getattr_opt(name!("__code__")) } else { Ok(None) }
    }
}
