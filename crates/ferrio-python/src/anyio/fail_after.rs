//! `fail_after`: a scope with a deadline, whose end by that deadline is a `TimeoutError`.

use std::ffi::CStr;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::objects::native_methods::{self, Method};
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit};

use super::backend;
use super::scopes::CancelScope;
use super::serving::{deadline_after, served_scope};
use crate::common::imports;
use crate::locks::boolean;
use crate::locks::optional_argument::Argument;

/// A context manager with the attributes of that which `contextlib.contextmanager` makes of anyio's function. What it is
/// rarely used for, such as a decorator, anyio's own does.
#[pyclass(frozen, weakref, name = "_GeneratorContextManager", module = "contextlib")]
pub(crate) struct FailAfter {
    delay: OwnedRef,
    shield: Option<OwnedRef>,
    reason: Option<OwnedRef>,
    stage: GilCell<Stage>,
}

enum Stage {
    New,
    Entered(OwnedRef<CancelScope>),
    /// anyio's own context manager is in its place.
    Theirs(OwnedRef),
    Left,
}

#[pyfunction]
#[pyo3(signature = (delay, shield=Argument(None), reason=Argument(None)))]
pub(super) fn fail_after<'py>(
    delay: Bound<'py, PyAny>,
    shield: Argument<'py>,
    reason: Argument<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = delay.py();
    let (shield, reason) = (shield.0.map(OwnedRef::from), reason.0.map(OwnedRef::from));
    let manager = FailAfter { delay: delay.into(), shield, reason, stage: GilCell::new(Stage::New) };
    if served_scope(py)?.is_none() {
        return manager.theirs(py);
    }
    Ok(Bound::new(py, manager)?.into_any())
}

impl FailAfter {
    /// A new context manager of anyio's own, for the same arguments.
    #[cold]
    fn theirs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let keywords = ferrio_cpython::capi::memory::dict(py)?;
        for (name, value) in [(name!("shield"), &self.shield), (name!("reason"), &self.reason)] {
            if let Some(value) = value {
                keywords.set_item(name, value.bind(py))?;
            }
        }
        let function = backend::function(py, pyo3::intern!(py, "fail_after"))?;
        function.call((self.delay.bind(py),), Some(&keywords))
    }

    fn timed_out(&self, py: Python<'_>) -> PyResult<PyErr> {
        let class = py.get_type::<PyTimeoutError>();
        let reason = self.reason.as_ref().map(|reason| reason.bind(py));
        let exception = match reason {
            Some(reason) if reason.is_truthy()? => class.call1((reason,))?,
            _ => class.call0()?,
        };
        Ok(raised(&exception))
    }
}

#[pymethods]
impl FailAfter {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::generator_context_manager(slf.py()).cloned()
    }

    fn __call__<'py>(slf: &Bound<'py, Self>, func: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().theirs(slf.py())?.call1((func,))
    }

    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().theirs(slf.py())?.getattr(name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.delay.traverse(&visit)?;
        for owned in [&self.shield, &self.reason].into_iter().flatten() {
            owned.traverse(&visit)?;
        }
        let outcome = self.stage.traverse(&visit, |stage| match stage {
            Stage::Entered(scope) => scope.traverse(&visit),
            Stage::Theirs(theirs) => theirs.traverse(&visit),
            Stage::New | Stage::Left => Ok(()),
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.stage.with(py, |stage| std::mem::replace(stage, Stage::Left));
        drop(before);
    }
}

/// Adds the methods that need no `PyO3` wrapper.
pub(super) fn add_methods(py: Python<'_>) -> PyResult<()> {
    native_methods::add::<0, Enter>(py)?;
    native_methods::add::<3, Exit>(py)
}

struct Enter;

impl Method<0> for Enter {
    type Class = FailAfter;
    const NAME: &'static CStr = c"__enter__";
    const TEXT: &'static str = "_GeneratorContextManager.__enter__";
    const DOC: &'static CStr = c"__enter__($self)\n--\n\n";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, FailAfter>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        FailAfter::enter(slf).map(Bound::unbind)
    }
}

struct Exit;

impl Method<3> for Exit {
    type Class = FailAfter;
    const NAME: &'static CStr = c"__exit__";
    const TEXT: &'static str = "_GeneratorContextManager.__exit__";
    const DOC: &'static CStr = c"__exit__($self, typ, value, traceback)\n--\n\n";
    const ARGUMENTS: [&'static str; 3] = ["typ", "value", "traceback"];

    fn call<'py>(
        slf: &Bound<'py, FailAfter>,
        [class, raised, traceback]: [Bound<'py, PyAny>; 3],
    ) -> PyResult<Py<PyAny>> {
        Ok(boolean(slf.py(), FailAfter::exit(slf, &class, &raised, &traceback)?).unbind())
    }
}

impl FailAfter {
    fn enter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let is_new = this.stage.with(py, |stage| matches!(stage, Stage::New));
        let ours = if is_new { served_scope(py)? } else { None };
        let Some(ours) = ours else {
            return this.enter_theirs(py);
        };
        let deadline = deadline_after(&ours, this.delay.bind(py))?;
        let shield = this.shield.as_ref().map(|shield| shield.bind(py).clone());
        let scope = CancelScope::create(py, deadline, shield)?;
        CancelScope::enter(&scope)?;
        let before = this.stage.with(py, |stage| std::mem::replace(stage, Stage::Entered(OwnedRef::of(&scope))));
        drop(before);
        Ok(scope.into_any())
    }

    fn exit<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc_val: &Bound<'py, PyAny>,
        exc_tb: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let stage = this.stage.with(py, |stage| match stage {
            Stage::New | Stage::Theirs(_) => None,
            Stage::Entered(_) | Stage::Left => Some(std::mem::replace(stage, Stage::Left)),
        });
        let Some(Stage::Entered(scope)) = stage else {
            return this.exit_theirs(exc_type, exc_val, exc_tb);
        };
        let scope = scope.into_bound(py);
        let raised = (!exc_val.is_none()).then_some(exc_val);
        let swallowed = CancelScope::exit(&scope, raised)?;
        if (swallowed || raised.is_none()) && CancelScope::has_timed_out(&scope)? {
            return Err(this.timed_out(py)?);
        }
        Ok(swallowed)
    }

    #[cold]
    fn enter_theirs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (theirs, is_used) = self.stage.with(py, |stage| match stage {
            Stage::New => (None, false),
            Stage::Theirs(theirs) => (Some(theirs.bind(py).clone()), false),
            Stage::Entered(_) | Stage::Left => (None, true),
        });
        let theirs = theirs.map_or_else(|| self.theirs(py), Ok)?;
        if is_used {
            // As after the first `with` block, which has used the arguments up.
            theirs.delattr(name!("args"))?;
        } else {
            let now = Stage::Theirs(OwnedRef::of(&theirs));
            let before = self.stage.with(py, |stage| std::mem::replace(stage, now));
            drop(before);
        }
        theirs.call_method0(name!("__enter__"))
    }

    #[cold]
    fn exit_theirs<'py>(
        &self,
        class: &Bound<'py, PyAny>,
        exception: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        let py = class.py();
        let theirs = self.stage.with(py, |stage| match stage {
            Stage::Theirs(theirs) => Some(theirs.bind(py).clone()),
            _ => None,
        });
        let theirs = theirs.map_or_else(|| self.theirs(py), Ok)?;
        theirs.call_method1(name!("__exit__"), (class, exception, traceback))?.is_truthy()
    }
}
