//! `Handler`: what the I/O driver queues when a descriptor is ready.

use ferrio_cpython::{Action, HandleRef, Runnable};
use ferrio_sys::Readiness;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

/// What is called when a descriptor is ready.
pub(crate) enum Handler {
    /// A callback of `add_reader` or `add_writer`.
    Callback(HandleRef),
    /// An object of ferrio's and a function that is called with it and the readiness bits.
    Native(Py<PyAny>, Action),
    /// The same for a level-triggered transport, which asyncio would list in its loop's `_transports`.
    Transport(Py<PyAny>, Action),
    /// The same as `Native`, but does not keep the object alive.
    Weak(Py<PyWeakrefReference>, Action),
}

impl Handler {
    /// A handler that calls `action` with `target`.
    pub(crate) fn native<T>(target: &Bound<'_, T>, action: Action) -> Self {
        Self::Native(target.clone().into_any().unbind(), action)
    }

    /// A handler for a level-triggered transport.
    pub(crate) fn transport<T>(target: &Bound<'_, T>, action: Action) -> Self {
        Self::Transport(target.clone().into_any().unbind(), action)
    }

    /// A handler that does not keep its object alive.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn weak<T>(target: &Bound<'_, T>, action: Action) -> PyResult<Self> {
        Ok(Self::Weak(PyWeakrefReference::new(target.as_any())?.unbind(), action))
    }

    /// What the loop queues when the descriptor is ready; None if the object is gone.
    pub(super) fn runnable(&self, py: Python<'_>, readiness: Readiness) -> Option<Runnable> {
        match self {
            Self::Callback(handle) => Some(Runnable::Handle(handle.clone_ref(py))),
            Self::Native(target, action) | Self::Transport(target, action) => {
                Some(Runnable::native(target.bind(py).clone(), *action, readiness.bits()))
            }
            Self::Weak(target, action) => {
                target.bind(py).upgrade().map(|target| Runnable::native(target, *action, readiness.bits()))
            }
        }
    }

    /// The object that the handler calls its function with; None for a Python callback.
    pub(crate) fn target<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::Callback(_) => None,
            Self::Native(target, _) | Self::Transport(target, _) => Some(target.bind(py).clone()),
            Self::Weak(target, _) => target.bind(py).upgrade(),
        }
    }

    /// The handler's transport, if it is a level-triggered one.
    pub(crate) fn level_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if let Self::Transport(target, _) = self { Some(target.bind(py).clone()) } else { None }
    }

    /// Cancels the handler, so that it does not run even if it is already queued.
    pub(crate) fn retire(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Callback(handle) => handle.cancel(py),
            Self::Native(..) | Self::Transport(..) | Self::Weak(..) => Ok(()),
        }
    }

    /// Whether the handler belongs to `object`.
    pub(crate) fn is_of(&self, object: &Bound<'_, PyAny>) -> bool {
        matches!(self, Self::Native(target, _) | Self::Transport(target, _) if target.is(object))
    }
}
