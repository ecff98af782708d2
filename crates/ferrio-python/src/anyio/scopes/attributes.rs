//! What Python sees of a scope: anyio's methods and properties, and the private attributes that anyio's own code uses
//! where its scopes and these are in one tree.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PySet};
use pyo3::{PyTraverseError, PyVisit};

use super::{CancelScope, any_scope, checked, delivery};
use crate::anyio::backend;
use crate::locks::optional_argument::Argument;

#[pymethods]
impl CancelScope {
    #[new]
    #[pyo3(signature = (deadline=Argument(None), shield=Argument(None)))]
    fn made(deadline: Argument<'_>, shield: Argument<'_>) -> PyResult<Self> {
        let deadline = deadline.0.map(checked).transpose()?.flatten();
        Ok(Self::new(deadline, shield.0.map_or(Ok(false), |shield| shield.is_truthy())?))
    }

    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        backend::class(slf.py(), |classes| &classes.cancel_scope)
    }

    /// Cancel this scope immediately.
    #[pyo3(signature = (reason=None))]
    fn cancel(slf: &Bound<'_, Self>, reason: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        Self::cancel_for(slf, reason)
    }

    /// The time at which this scope is cancelled, or infinity.
    #[getter]
    pub(super) fn deadline<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let deadline = self.inner.with(py, |inner| inner.deadline.as_ref().map(|when| when.bind(py).clone()));
        deadline.unwrap_or_else(|| PyFloat::new(py, f64::INFINITY).into_any())
    }

    #[setter]
    fn set_deadline(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let seconds = py.get_type::<PyFloat>().call1((value,))?;
        let deadline = checked(seconds)?;
        let before = this.inner.with(py, |inner| std::mem::replace(&mut inner.deadline, deadline));
        drop(before);
        this.cancel_timer(py)?;
        if this.inner.with(py, |inner| inner.active && !inner.cancel_called) { Self::set_timer(slf) } else { Ok(()) }
    }

    /// Whether `cancel()` was called, or the deadline has passed.
    #[getter]
    fn cancel_called(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.cancel_called)
    }

    /// Whether this scope swallowed a cancellation of its own.
    #[getter]
    fn cancelled_caught(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.cancelled_caught)
    }

    /// Whether this scope hides cancellations of the scopes around it.
    #[getter]
    fn shield(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.shield)
    }

    #[setter]
    pub(crate) fn set_shield(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = value.is_truthy()?;
        Self::shield_from_now_on(slf, value)
    }

    #[getter(_deadline)]
    fn shown_deadline<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.deadline(py)
    }

    #[getter(_shield)]
    fn shown_shield(&self, py: Python<'_>) -> bool {
        self.shield(py)
    }

    #[getter(_cancel_called)]
    fn shown_cancel_called(&self, py: Python<'_>) -> bool {
        self.cancel_called(py)
    }

    #[getter(_cancelled_caught)]
    fn shown_cancelled_caught(&self, py: Python<'_>) -> bool {
        self.cancelled_caught(py)
    }

    #[getter(_active)]
    fn shown_active(&self, py: Python<'_>) -> bool {
        self.is_active(py)
    }

    #[getter(_cancel_reason)]
    fn shown_reason<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.reason(py)
    }

    #[getter(_parent_scope)]
    fn shown_parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.parent(py)
    }

    #[setter(_parent_scope)]
    fn replace_parent(&self, py: Python<'_>, parent: Option<Bound<'_, PyAny>>) {
        let before = self.inner.with(py, |inner| std::mem::replace(&mut inner.parent, parent.map(OwnedRef::from)));
        drop(before);
    }

    #[getter(_host_task)]
    fn shown_host<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.host(py)
    }

    #[getter(_tasks)]
    fn shown_tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        self.tasks.set(py)
    }

    #[getter(_child_scopes)]
    fn shown_children<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        self.children.set(py)
    }

    #[getter(_timeout_handle)]
    fn shown_timer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.timer.as_ref().map(|timer| timer.show(py)))
    }

    #[getter(_cancel_handle)]
    fn shown_delivery<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.delivery.as_ref().map(|timer| timer.show(py)))
    }

    #[getter(_cancelling_at_enter)]
    fn shown_cancelling(&self, py: Python<'_>) -> u32 {
        self.inner.with(py, |inner| inner.cancelling_at_enter)
    }

    #[getter(_pending_uncancellations)]
    fn shown_pending(&self, py: Python<'_>) -> u32 {
        self.inner.with(py, |inner| inner.pending_uncancellations)
    }

    #[setter(_pending_uncancellations)]
    fn set_pending(&self, py: Python<'_>, count: u32) {
        self.inner.with(py, |inner| inner.pending_uncancellations = count);
    }

    #[getter(_effectively_cancelled)]
    fn shown_effectively_cancelled(slf: &Bound<'_, Self>) -> PyResult<bool> {
        any_scope::is_effectively_cancelled(slf.as_any())
    }

    #[getter(_parent_cancellation_is_visible_to_us)]
    fn shown_parent_cancellation(&self, py: Python<'_>) -> PyResult<bool> {
        self.parent_cancellation_is_visible(py)
    }

    fn _timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::set_timer(slf)
    }

    fn _deliver_cancellation(slf: &Bound<'_, Self>, origin: &Bound<'_, PyAny>) -> PyResult<bool> {
        delivery::deliver(slf, origin)
    }

    fn _restart_cancellation_in_parent(slf: &Bound<'_, Self>) -> PyResult<()> {
        delivery::restart_in_parent(slf)
    }

    fn _reparent(slf: &Bound<'_, Self>, new_parent: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::reparent(slf, new_parent)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.visit_all(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.clear_all(py);
    }
}

impl CancelScope {
    /// Sets `shield`. Without it the scope is open to a cancellation that is under way around it.
    pub(crate) fn shield_from_now_on(slf: &Bound<'_, Self>, value: bool) -> PyResult<()> {
        let before = slf.get().inner.with(slf.py(), |inner| std::mem::replace(&mut inner.shield, value));
        if before && !value { delivery::restart_in_parent(slf) } else { Ok(()) }
    }

    /// Moves an active scope from its parent to another one.
    pub(crate) fn reparent(slf: &Bound<'_, Self>, new_parent: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Some(parent) = slf.get().parent(py) {
            if parent.is(new_parent) {
                return Ok(());
            }
            any_scope::discard_child(&parent, slf.as_any())?;
        }
        slf.get().replace_parent(py, Some(new_parent.clone()));
        any_scope::add_child(new_parent, slf.as_any())?;
        delivery::restart_in_parent(slf)
    }
}
