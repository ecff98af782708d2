//! Calls that leave a program by functions of Python: what they give is noted, or given.
//!
//! `ferrio.testing._calls` does that, which replaces some of these functions while any loop has a recording. Here is what
//! it needs of the recording.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::current::running_loop;
use ferrio_engine::{Ending, Operation, Recorded};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::{Mode, Recording};
use crate::event_loop::Loop;

type Given<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pymethods]
impl Recording {
    /// Note what a call has given, as text without newlines, and the bytes that came with it.
    fn note_call(&self, py: Python<'_>, name: &str, given: &str, data: &[u8]) {
        self.write(py, |writer| {
            let kept = if writer.keeps_data { data } else { &[] };
            let mut all = Vec::new();
            if all.try_reserve_exact(name.len() + given.len() + kept.len() + 2).is_err() {
                writer.end(Ending::Limit);
                return;
            }
            for part in [name.as_bytes(), b"\n", given.as_bytes(), b"\n", kept] {
                all.extend_from_slice(part);
            }
            let entry = Recorded::Answer(Operation::Call, data.len() as u64, Ok(0), Some(&all));
            writer.note_with(&entry, &all);
        });
    }

    /// What the call that comes next has given, and the bytes; None if the program has left the recording.
    fn next_call<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Given<'py>>> {
        let Some((given, data)) = self.read(py, |reader| reader.call(name)).flatten() else { return Ok(None) };
        Ok(Some((memory::bytes(py, &given)?, memory::bytes(py, &data)?)))
    }

    /// Note random bytes that the program was given.
    fn note_random(&self, py: Python<'_>, data: &[u8]) {
        self.note(py, &Recorded::Random(data));
    }

    /// So many random bytes, if it was given them here.
    fn next_random<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = self.read(py, |reader| reader.random(size)).flatten();
        found.map(|found| memory::bytes(py, &found)).transpose()
    }

    /// Call a function as OpenSSL calls one: nobody gets its exception.
    #[staticmethod]
    #[pyo3(signature = (function, *arguments))]
    fn call_ignored(function: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) {
        if let Err(error) = function.call1(arguments) {
            error.write_unraisable(function.py(), Some(function));
        }
    }

    /// End the run, because it cannot be repeated.
    #[pyo3(name = "refuse")]
    fn refuse_what(&self, py: Python<'_>, what: &str) {
        self.leave(py, format!("a recording does not have what is needed for {what}"));
    }

    /// Whether it gives what is recorded.
    #[getter]
    fn repeats(&self, py: Python<'_>) -> bool {
        self.is_read(py)
    }

    /// Whether it keeps the bytes that come from outside.
    #[getter]
    fn keeps_bytes(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| match &state.mode {
            Mode::Writing(writer) => writer.keeps_data,
            Mode::Reading(reader) => reader.has_data,
        })
    }
}

/// The recording of the loop that the calling thread runs, if it has one.
#[pyfunction]
#[pyo3(name = "_recording_here")]
pub(crate) fn recording_here(py: Python<'_>) -> PyResult<Option<Bound<'_, Recording>>> {
    let Some(running) = running_loop(py)? else { return Ok(None) };
    Ok(running.cast::<Loop>().ok().and_then(|owner| owner.get().io.tape.get(py)))
}

/// A loop has a recording from now on, or has none any more.
#[cold]
pub(super) fn watch(py: Python<'_>, is_on: bool) {
    let watched = ferrio_cpython::module(py, name!("ferrio.testing._calls"))
        .and_then(|module| module.call_method1(name!("watch"), (is_on,)));
    if let Err(error) = watched {
        memory::unraisable(py, error);
    }
}
