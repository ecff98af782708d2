//! The private attributes of a `StreamReaderProtocol`, which programs read and set.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use super::fields::Fields;
use super::protocol::StreamReaderProtocol;
use crate::common::imports;

#[pymethods]
impl StreamReaderProtocol {
    #[getter(_stream_reader)]
    fn shown_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader(py)
    }

    #[getter(_stream_reader_wr)]
    fn shown_weak_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyWeakrefReference>> {
        self.state.with(py, |state| state.reader.as_ref().map(|reader| reader.bind(py).clone()))
    }

    #[setter(_stream_reader_wr)]
    fn set_weak_reader(&self, py: Python<'_>, reader: Option<&Bound<'_, PyWeakrefReference>>) {
        let reader = reader.map(OwnedRef::of);
        let before = self.state.with(py, |state| std::mem::replace(&mut state.reader, reader));
        drop(before);
    }

    #[getter(_loop)]
    fn shown_owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.owner)
    }

    #[getter(_strong_reader)]
    fn shown_strong<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.strong)
    }

    #[getter(_client_connected_cb)]
    fn shown_callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.callback)
    }

    #[getter(_task)]
    fn shown_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.task)
    }

    #[getter(_transport)]
    fn shown_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.transport)
    }

    #[getter(_stream_writer)]
    fn shown_writer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.writer)
    }

    #[getter(_source_traceback)]
    fn shown_source<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.source)
    }

    #[getter(_closed)]
    fn shown_closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.closed(py)
    }

    #[getter(_paused)]
    fn is_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    #[getter(_connection_lost)]
    fn is_lost(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.lost)
    }

    #[getter(_reject_connection)]
    fn is_rejected(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.rejected)
    }

    #[getter(_over_ssl)]
    fn is_over_ssl(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.over_ssl)
    }

    #[getter(_drain_waiters)]
    fn shown_drains<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiters: Vec<_> =
            self.state.with(py, |state| state.drains.iter().map(|one| one.bind(py).clone()).collect());
        imports::deque(py)?.call1((waiters,))
    }

    #[setter(_client_connected_cb)]
    fn set_callback(&self, callback: &Bound<'_, PyAny>) {
        self.put(callback.py(), |state| &mut state.callback, Some(callback.clone()));
    }

    #[setter(_task)]
    fn set_task(&self, task: &Bound<'_, PyAny>) {
        self.put(task.py(), |state| &mut state.task, Some(task.clone()));
    }

    #[setter(_stream_writer)]
    fn set_writer(&self, writer: &Bound<'_, PyAny>) {
        self.put(writer.py(), |state| &mut state.writer, Some(writer.clone()));
    }

    #[setter(_closed)]
    fn set_closed(&self, closed: &Bound<'_, PyAny>) {
        self.put(closed.py(), |state| &mut state.closed, Some(closed.clone()));
    }

    #[setter(_loop)]
    fn set_loop(&self, owner: &Bound<'_, PyAny>) {
        self.put(owner.py(), |state| &mut state.owner, Some(owner.clone()));
    }

    #[setter(_strong_reader)]
    fn set_strong(&self, reader: &Bound<'_, PyAny>) {
        self.put(reader.py(), |state| &mut state.strong, Some(reader.clone()));
    }

    #[setter(_transport)]
    fn set_transport(&self, transport: &Bound<'_, PyAny>) {
        self.put(transport.py(), |state| &mut state.transport, Some(transport.clone()));
    }

    #[setter(_over_ssl)]
    fn set_over_ssl(&self, py: Python<'_>, over_ssl: bool) {
        self.state.with(py, |state| state.over_ssl = over_ssl);
    }

    #[setter(_reject_connection)]
    fn set_rejected(&self, py: Python<'_>, rejected: bool) {
        self.state.with(py, |state| state.rejected = rejected);
    }

    #[setter(_connection_lost)]
    fn set_lost(&self, py: Python<'_>, lost: bool) {
        self.state.with(py, |state| state.lost = lost);
    }

    #[setter(_paused)]
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.state.with(py, |state| state.paused = paused);
    }
}
