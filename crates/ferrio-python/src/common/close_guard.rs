//! `CloseGuard`: closes a socket or transport unless it is kept.

use pyo3::prelude::*;

use crate::common::async_block::{Channel, Owned};
use crate::common::imports;

/// A socket or transport that is closed when this is dropped, unless it was kept.
pub(crate) struct CloseGuard {
    held: Option<Reference>,
    closes: bool,
    is_ours: bool,
}

/// What a guard holds, seen by the collector or not.
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
    /// Something that we made.
    pub(crate) fn ours(held: Py<PyAny>) -> Self {
        Self { held: Some(Reference::Plain(held)), closes: true, is_ours: true }
    }

    /// A socket that the user passed: asyncio closes it from 3.14 on if no transport comes of it.
    pub(crate) fn user(held: Py<PyAny>) -> Self {
        let closes = Python::attach(|py| imports::python_version(py) >= (3, 14));
        Self { held: Some(Reference::Plain(held)), closes, is_ours: false }
    }

    /// Whether we made it; a socket of ours does not block.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.held.as_ref().map(|held| held.get().bind(py)).expect("held until it is kept, which consumes the guard")
    }

    /// The same, owned by the block of `channel`: for what may lead back to the task.
    pub(crate) fn owned(mut self, channel: &Channel) -> Self {
        self.held = match self.held.take() {
            Some(Reference::Plain(object)) => Some(Reference::Owned(channel.own(object))),
            owned => owned,
        };
        self
    }

    /// Leaves it open.
    pub(crate) fn keep(mut self) -> Py<PyAny> {
        match self.held.take().expect("held until it is kept, which consumes the guard") {
            Reference::Plain(object) => object,
            Reference::Owned(object) => object.handed_over(),
        }
    }
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        let Some(held) = self.held.take().filter(|_| self.closes) else { return };
        Python::try_attach(|py| {
            // Whatever led here is more important than an error while closing.
            drop(held.get().call_method0(py, "close"));
        });
    }
}
