//! `async with` for locks, conditions and semaphores: asyncio's `_ContextManagerMixin`.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use pyo3::prelude::*;

/// `__aenter__` for objects whose `acquire` may be overridden: calls it by name.
pub(crate) fn enter(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let body = Enter { object: OwnedRef::of(object), awaiting: None };
    coroutine::spawn(object.py(), "_ContextManagerMixin.__aenter__", body)
}

/// `__aexit__`, which releases the lock by `release`.
pub(crate) fn exit(object: &Bound<'_, PyAny>, release: Release) -> PyResult<Py<PyAny>> {
    let body = Exit { object: OwnedRef::of(object), release };
    coroutine::spawn(object.py(), "_ContextManagerMixin.__aexit__", body)
}

/// The function that releases an object.
pub(crate) type Release = fn(&Bound<'_, PyAny>) -> PyResult<()>;

/// Calls `release` by name.
pub(crate) fn release_by_name(object: &Bound<'_, PyAny>) -> PyResult<()> {
    object.call_method0(pyo3::intern!(object.py(), "release")).map(drop)
}

struct Enter {
    object: OwnedRef,
    awaiting: Option<Awaiting>,
}

impl Body for Enter {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let awaiting = match &mut self.awaiting {
            Some(awaiting) => awaiting,
            place @ None => {
                let acquiring = self.object.bind(py).call_method0(pyo3::intern!(py, "acquire"))?;
                place.insert(Awaiting::new(&acquiring)?)
            }
        };
        Ok(match awaiting.resume(py, input)? {
            Step::Returned(_) => Step::Returned(py.None().into_bound(py)),
            step @ Step::Yielded(_) => step,
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.object);
        self.awaiting.iter().for_each(|awaiting| awaiting.traverse(visitor));
    }
}

struct Exit {
    object: OwnedRef,
    release: Release,
}

impl Body for Exit {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        (self.release)(self.object.bind(py))?;
        Ok(Some(py.None().into_bound(py)))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        drop(input);
        (self.release)(self.object.bind(py))?;
        Ok(Step::Returned(py.None().into_bound(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.object);
    }
}
