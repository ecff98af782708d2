//! The private attributes of a `StreamReader`, which programs read and set.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use super::fields::Fields;
use super::reader::{State, StreamReader};
use crate::common::imports;

#[pymethods]
impl StreamReader {
    #[getter(_buffer)]
    fn shown_buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        if let Some(shared) = self.state.with(py, |state| state.shared.as_ref().map(|shared| shared.bind(py).clone())) {
            return Ok(shared);
        }
        let bytes = self.state.with(py, |state| std::mem::take(&mut state.incoming));
        let made = match memory::bytearray(py, bytes.as_slice()) {
            Ok(made) => made,
            Err(error) => {
                self.state.with(py, |state| state.incoming = bytes);
                return Err(error);
            }
        };
        let owned = OwnedRef::of(&made);
        self.state.with(py, |state| state.shared = Some(owned));
        Ok(made)
    }

    #[setter(_buffer)]
    fn set_buffer(&self, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = buffer.py();
        let buffer = match buffer.cast::<PyByteArray>() {
            Ok(buffer) => buffer.clone(),
            Err(_) => imports::bytearray(py)?.call1((buffer,))?.cast_into::<PyByteArray>()?,
        };
        let owned = OwnedRef::of(&buffer);
        let before = self.state.with(py, |state| {
            state.incoming.clear();
            state.shared.replace(owned)
        });
        drop(before);
        Ok(())
    }

    #[getter(_limit)]
    fn shown_limit<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.given_limit(py)
    }

    #[setter(_limit)]
    fn set_limit(&self, limit: &Bound<'_, PyAny>) -> PyResult<()> {
        let State { limit: number, most, given_limit, .. } = State::with_given_limit(limit)?;
        let before = self.state.with(limit.py(), |state| {
            (state.limit, state.most) = (number, most);
            std::mem::replace(&mut state.given_limit, given_limit)
        });
        drop(before);
        Ok(())
    }

    #[getter(_loop)]
    fn shown_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.owner)
    }

    #[setter(_loop)]
    fn set_loop(&self, owner: Bound<'_, PyAny>) {
        self.put(owner.py(), |state| &mut state.owner, Some(owner));
    }

    #[getter(_waiter)]
    fn shown_waiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.waiter)
    }

    #[setter(_waiter)]
    fn set_waiter(&self, waiter: Bound<'_, PyAny>) {
        self.put(waiter.py(), |state| &mut state.waiter, Some(waiter));
    }

    #[getter(_exception)]
    fn shown_exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.exception)
    }

    #[setter(_exception)]
    fn put_exception(&self, exception: Bound<'_, PyAny>) {
        self.put(exception.py(), |state| &mut state.exception, Some(exception));
    }

    #[getter(_transport)]
    fn shown_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.transport)
    }

    #[setter(_transport)]
    fn put_transport(&self, transport: Bound<'_, PyAny>) {
        self.put(transport.py(), |state| &mut state.transport, Some(transport));
    }

    #[getter(_source_traceback)]
    pub(super) fn source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.source)
    }

    #[getter(_eof)]
    fn shown_eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.eof)
    }

    #[setter(_eof)]
    fn set_eof(&self, py: Python<'_>, eof: bool) {
        self.state.with(py, |state| state.eof = eof);
    }

    #[getter(_paused)]
    fn shown_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    #[setter(_paused)]
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.state.with(py, |state| state.paused = paused);
    }
}
