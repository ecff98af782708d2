//! `readline` of a subclass, which may override `readuntil`, and the handling of a line that is too long.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::feed;
use super::reader::StreamReader;
use crate::common::imports;

/// Drops the received part of a line that is too long; returns the error to raise.
#[cold]
pub(super) fn drop_line(reader: &Bound<'_, StreamReader>, overrun: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let py = reader.py();
    let consumed = overrun.getattr(name!("consumed"))?.extract::<usize>()?;
    reader.get().with_incoming(py, |incoming, _| {
        if incoming.as_slice().get(consumed) == Some(&b'\n') {
            incoming.take(consumed + 1, |_| ());
        } else {
            incoming.clear();
        }
    })?;
    feed::maybe_resume(py, reader.get())?;
    let error = ferrio_cpython::error::<PyValueError>((overrun.getattr(name!("args"))?.get_item(0)?.unbind(),));
    error.value(py).setattr(name!("__context__"), overrun)?;
    Ok(error)
}

/// The body of `readline` that calls the object's `readuntil`.
pub(super) struct Line {
    reader: OwnedRef<StreamReader>,
    message: Option<Awaiting>,
}

impl Line {
    pub(super) fn new(reader: &Bound<'_, StreamReader>) -> Self {
        Self { reader: OwnedRef::of(reader), message: None }
    }

    fn step<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let message = if let Some(message) = &mut self.message {
            message
        } else {
            let newline = memory::bytes(py, b"\n")?;
            let message = self.reader.bind(py).call_method1(pyo3::intern!(py, "readuntil"), (newline,))?;
            self.message.insert(Awaiting::new(&message)?)
        };
        message.resume(py, input)
    }
}

impl Body for Line {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let error = match self.step(py, input) {
            Ok(step) => return Ok(step),
            Err(error) => error,
        };
        let value = error.value(py);
        if value.is_instance(imports::incomplete_read_error(py)?)? {
            return value.getattr(name!("partial")).map(Step::Returned);
        }
        if value.is_instance(imports::limit_overrun_error(py)?)? {
            return Err(drop_line(self.reader.bind(py), value.as_any())?);
        }
        Err(error)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        self.message.iter().for_each(|message| message.traverse(visitor));
    }
}
