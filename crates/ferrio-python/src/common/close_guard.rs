//! `CloseGuard`: closes a socket or transport unless it is kept.

use pyo3::prelude::*;

use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;

use crate::common::async_block::{Channel, Owned};
use crate::common::imports;

/// A socket or transport that is closed when this is dropped, unless it was kept.
pub(crate) struct CloseGuard {
    guarded_object: Option<Reference>,
    closes: bool,
    is_ours: bool,
}

/// The guarded reference, visible to the garbage collector or not.
enum Reference {
    Plain(Py<PyAny>),
    Owned(Owned<PyAny>),
}

impl Reference {
    fn get(&self) -> &Py<PyAny> {
        match self {
            Self::Plain(object) => object,
            Self::Owned(object) => object,
        }
    }
}

impl CloseGuard {
    /// A guard for an object that ferrio created.
    pub(crate) fn created(guarded_object: Py<PyAny>) -> Self {
        Self { guarded_object: Some(Reference::Plain(guarded_object)), closes: true, is_ours: true }
    }

    /// A guard for a socket that the user passed: from 3.14 on asyncio closes it if no transport is created.
    pub(crate) fn passed_in(guarded_object: Py<PyAny>) -> Self {
        let closes = Python::attach(|py| imports::python_version(py) >= (3, 14));
        Self { guarded_object: Some(Reference::Plain(guarded_object)), closes, is_ours: false }
    }

    /// Whether ferrio created the object; such a socket is non-blocking.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.guarded_object
            .as_ref()
            .map(|guarded_object| guarded_object.get().bind(py))
            .expect("held until it is kept, which consumes the guard")
    }

    /// The same guard with its reference owned by the block of `channel`, for objects that may lead back to the task.
    pub(crate) fn owned(mut self, channel: &Channel) -> Self {
        self.guarded_object = match self.guarded_object.take() {
            Some(Reference::Plain(object)) => Some(Reference::Owned(channel.own(object))),
            owned => owned,
        };
        self
    }

    /// Returns the object without closing it.
    pub(crate) fn keep(mut self) -> Py<PyAny> {
        match self.guarded_object.take().expect("held until it is kept, which consumes the guard") {
            Reference::Plain(object) => object,
            Reference::Owned(object) => object.handed_over(),
        }
    }
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        let Some(guarded_object) = self.guarded_object.take().filter(|_| self.closes) else { return };
        finalizing(|py| {
            // An error while closing must not hide the error that led here.
            drop(memory::catch_no_memory(py, || guarded_object.get().call_method0(py, name!("close"))));
        });
    }
}
