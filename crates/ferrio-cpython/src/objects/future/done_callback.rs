//! ferrio's own done callbacks: an object and a function of ferrio, called with the future that is done.
//!
//! On a ferrio future that belongs to a ferrio loop such a callback is an entry among the others and, when its turn has
//! come, a value in the ready queue: no handle, no copy of the context, no bound method. Elsewhere it is a callable,
//! `BoundDoneCallback`; two of them are equal if they have the same object and the same function, so that the one a
//! foreign future keeps is found again. To Python every such callback is a pair of callable and context.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::FutureRef;
use crate::capi::asyncio_code;
use crate::capi::memory;
use crate::capi::owned_ref::OwnedRef;
use crate::objects::handle::HandleRef;
use crate::objects::loop_base::LoopBase;

/// The function of a done callback: it gets the object it was registered with, and the future. If it returns
/// `SystemExit` or `KeyboardInterrupt`, the loop stops; any other error goes to the loop's exception handler.
pub type DoneFunction = for<'py> fn(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>;

/// Returns the object that programs look for among the callbacks.
pub type Shown = for<'py> fn(Python<'py>) -> PyResult<Bound<'py, PyAny>>;

/// A kind of done callback: one static for each, whose address is its identity.
pub struct DoneCallback {
    qualified_name: &'static str,
    function: DoneFunction,
    shown_as: Option<Shown>,
}

impl DoneCallback {
    /// A callback that calls `function` and shows as `qualified_name`.
    #[must_use]
    pub const fn new(qualified_name: &'static str, function: DoneFunction) -> Self {
        Self { qualified_name, function, shown_as: None }
    }

    /// Shows in `_callbacks` as the object that `callable` returns.
    #[must_use]
    pub const fn shown_as(self, callable: Shown) -> Self {
        Self { shown_as: Some(callable), ..self }
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// One registration: `callback` is to be called with `object`.
pub(crate) struct Registered {
    pub(super) object: OwnedRef,
    pub(super) callback: &'static DoneCallback,
}

impl Registered {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { object: self.object.clone_ref(py), callback: self.callback }
    }

    #[inline]
    pub(super) fn is_same(&self, object: *mut pyo3::ffi::PyObject, callback: &DoneCallback) -> bool {
        std::ptr::eq(self.object.as_ptr(), object) && self.callback.is(callback)
    }

    /// The callable that other loops and futures call.
    pub(super) fn callable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        callable(self.object.bind(py), self.callback)
    }

    /// The callable that Python sees.
    pub(super) fn shown<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.callback.shown_as {
            Some(shown_as) => shown_as(py),
            None => self.callable(py),
        }
    }
}

/// Calls `callback` with `object` when `future` is done: by `future.add_done_callback` of any future-like object, or
/// without it where that makes no difference.
///
/// # Errors
/// Any exception that `add_done_callback` raises.
#[inline]
pub fn add_done_callback<'py>(
    future: &Bound<'py, PyAny>,
    object: &Bound<'py, PyAny>,
    callback: &'static DoneCallback,
) -> PyResult<()> {
    if let Some(exact) = FutureRef::exact(future) {
        return exact.add_registered(Registered { object: object.clone().into(), callback });
    }
    let py = future.py();
    future.call_method1(crate::intern!(py, "add_done_callback"), (callable(object, callback)?,)).map(drop)
}

/// Removes what `add_done_callback` added with the same arguments, as `future.remove_done_callback` does.
///
/// # Errors
/// Any exception that `remove_done_callback` raises.
#[inline]
pub fn remove_done_callback<'py>(
    future: &Bound<'py, PyAny>,
    object: &Bound<'py, PyAny>,
    callback: &'static DoneCallback,
) -> PyResult<()> {
    if let Some(exact) = FutureRef::exact(future) {
        exact.remove_registered(object, callback);
        return Ok(());
    }
    let py = future.py();
    future.call_method1(crate::intern!(py, "remove_done_callback"), (callable(object, callback)?,)).map(drop)
}

/// A callable that calls `callback` with `object` and its argument, the future.
///
/// # Errors
/// `MemoryError`.
pub fn callable<'py>(object: &Bound<'py, PyAny>, callback: &'static DoneCallback) -> PyResult<Bound<'py, PyAny>> {
    let bound = BoundDoneCallback { object: object.clone().into(), callback };
    Ok(Bound::new(object.py(), bound)?.into_any())
}

/// `__wrapped__` of a callback that stands for asyncio's function `name`: a function with that one's place in the
/// source, for reports that name file and line.
///
/// # Errors
/// `AttributeError` if it is a method in asyncio, or does not exist.
#[cold]
pub fn asyncio_counterpart<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let is_function = name.contains("<locals>") || !name.contains('.');
    let function = if is_function { asyncio_code::function(py, name) } else { None };
    function.ok_or_else(|| crate::capi::raise::error::<PyAttributeError>("__wrapped__"))
}

/// A done callback and its object, as a callable.
#[pyclass(frozen, name = "DoneCallback", module = "ferrio")]
pub(crate) struct BoundDoneCallback {
    object: OwnedRef,
    callback: &'static DoneCallback,
}

#[pymethods]
#[pyo3(crate = "crate::capi::pyo3_trampolines::bindings")]
impl BoundDoneCallback {
    fn __call__<'py>(&self, py: Python<'py>, future: &Bound<'py, PyAny>) -> PyResult<()> {
        (self.callback.function)(self.object.bind(py), future)
    }

    #[getter(__qualname__)]
    fn qualified_name(&self) -> &'static str {
        self.callback.qualified_name
    }

    #[getter(__name__)]
    fn name(&self) -> &'static str {
        self.callback.qualified_name.rsplit('.').next().unwrap_or_default()
    }

    #[getter(__wrapped__)]
    fn wrapped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        asyncio_counterpart(py, self.callback.qualified_name)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Self>().map(Bound::get);
        other.is_ok_and(|other| {
            std::ptr::eq(self.object.as_ptr(), other.object.as_ptr()) && self.callback.is(other.callback)
        })
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.object.as_ptr().addr(), std::ptr::from_ref(self.callback).addr()).hash(&mut hasher);
        hasher.finish()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.object.traverse(&visit)
    }
}

/// A done callback whose turn has come: a value of the ready queue.
pub struct ReadyCallback {
    registered: Registered,
    future: OwnedRef,
}

impl ReadyCallback {
    #[inline]
    pub(super) fn new(registered: Registered, future: &FutureRef<'_>) -> Self {
        Self { registered, future: future.object().clone().into() }
    }

    #[inline]
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<()> {
        (self.registered.callback.function)(self.registered.object.bind(py), self.future.bind(py))
    }

    /// The future that is done.
    pub(crate) fn future<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.future.bind(py).clone()
    }

    /// The callable, for messages.
    pub(crate) fn target<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.registered.shown(py)
    }

    /// Reports an error of `run` to the loop's exception handler, as for callbacks; `SystemExit` and
    /// `KeyboardInterrupt` are returned.
    #[cold]
    pub(crate) fn report(&self, owner: &Bound<'_, LoopBase>, error: PyErr) -> PyResult<()> {
        let py = owner.py();
        let arguments = memory::tuple(py, [self.future.bind(py)])?;
        HandleRef::unscheduled(owner, &self.target(py)?, &arguments)?.report_error(py, error)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.registered.object.traverse(visit)?;
        self.future.traverse(visit)
    }
}
