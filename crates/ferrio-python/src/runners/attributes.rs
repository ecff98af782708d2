//! Private attributes of asyncio's runner that programs and libraries use.

use pyo3::prelude::*;

use super::runner::{Inner, Runner, State};
use crate::common::imports;

#[pymethods]
impl Runner {
    #[getter(_state)]
    fn shown_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = match self.state(py) {
            State::Created => "CREATED",
            State::Initialized => "INITIALIZED",
            State::Closed => "CLOSED",
        };
        imports::runner_state(py)?.getattr(name)
    }

    #[setter(_state)]
    fn set_state(&self, py: Python<'_>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let states = imports::runner_state(py)?;
        let state = if state.is(&states.getattr(name!("CREATED"))?) {
            State::Created
        } else if state.is(&states.getattr(name!("INITIALIZED"))?) {
            State::Initialized
        } else {
            State::Closed
        };
        self.inner.with(py, |inner| inner.state = state);
        Ok(())
    }

    #[getter(_loop)]
    fn shown_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.read(py, |inner| &mut inner.owner)
    }

    #[setter(_loop)]
    fn set_loop(&self, py: Python<'_>, owner: Option<Py<PyAny>>) {
        self.write(py, owner, |inner| &mut inner.owner);
    }

    #[getter(_context)]
    fn shown_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.read(py, |inner| &mut inner.context)
    }

    #[setter(_context)]
    fn set_context(&self, py: Python<'_>, context: Option<Py<PyAny>>) {
        self.write(py, context, |inner| &mut inner.context);
    }

    #[getter(_debug)]
    fn shown_debug(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.read(py, |inner| &mut inner.debug)
    }

    #[setter(_debug)]
    fn set_debug(&self, py: Python<'_>, debug: Option<Py<PyAny>>) {
        self.write(py, debug, |inner| &mut inner.debug);
    }

    #[getter(_loop_factory)]
    fn shown_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.read(py, |inner| &mut inner.factory)
    }

    #[setter(_loop_factory)]
    fn set_factory(&self, py: Python<'_>, factory: Option<Py<PyAny>>) {
        self.write(py, factory, |inner| &mut inner.factory);
    }

    #[getter(_interrupt_count)]
    fn shown_interrupt_count(&self, py: Python<'_>) -> usize {
        self.inner.with(py, |inner| inner.interrupt_count)
    }

    #[setter(_interrupt_count)]
    fn set_interrupt_count(&self, py: Python<'_>, count: usize) {
        self.inner.with(py, |inner| inner.interrupt_count = count);
    }

    #[getter(_set_event_loop)]
    fn shown_set_event_loop(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.set_event_loop)
    }

    #[setter(_set_event_loop)]
    fn set_set_event_loop(&self, py: Python<'_>, set: bool) {
        self.inner.with(py, |inner| inner.set_event_loop = set);
    }
}

type Field = fn(&mut Inner) -> &mut Option<Py<PyAny>>;

impl Runner {
    fn read(&self, py: Python<'_>, field: Field) -> Option<Py<PyAny>> {
        self.inner.with(py, |inner| field(inner).as_ref().map(|object| object.clone_ref(py)))
    }

    fn write(&self, py: Python<'_>, object: Option<Py<PyAny>>, field: Field) {
        let before = self.inner.with(py, |inner| std::mem::replace(field(inner), object));
        drop(before);
    }
}
