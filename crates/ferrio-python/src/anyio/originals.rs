//! anyio's own methods behind the replacements, and its classes and exceptions.
//!
//! A replacement calls anyio's own method (`original`) for whatever it does not serve itself.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::coroutine_function;
use ferrio_cpython::capi::python_class::PythonClass;
use ferrio_cpython::capi::raise::{handling, raised};
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::Awaiting;
use ferrio_cpython::objects::native_methods::{self, Method};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

/// What is known of the anyio that was imported last.
static ANYIO: GilCell<Option<Anyio>> = GilCell::new(None);

struct Anyio {
    module: Py<PyModule>,
    event: PythonClass,
    /// anyio's own methods by qualified name.
    originals: Py<PyDict>,
    /// Tuples of owner, name and value.
    replacements: Py<PyList>,
}

/// anyio's own methods by qualified name, and the replacements: tuples of owner, name and value.
pub(super) struct Lists<'py> {
    originals: Bound<'py, PyDict>,
    replacements: Bound<'py, PyList>,
}

impl<'py> Lists<'py> {
    pub(super) fn new(py: Python<'py>) -> Self {
        Self { originals: PyDict::new(py), replacements: PyList::empty(py) }
    }

    /// Keeps the lists for anyio's backend module; returns the replacements.
    pub(super) fn keep(self, module: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyList>> {
        let py = module.py();
        let event = PythonClass::new(module.getattr(name!("Event"))?.cast::<PyType>()?)?;
        let shown = self.replacements.clone();
        let (originals, replacements) = (self.originals.unbind(), self.replacements.unbind());
        let fresh = Anyio { module: module.clone().unbind(), event, originals, replacements };
        let before = ANYIO.with(py, |anyio| anyio.replace(fresh));
        drop(before);
        Ok(shown)
    }

    /// The replacements that are kept, if they are for that module.
    pub(super) fn kept(module: &Bound<'py, PyModule>) -> Option<Bound<'py, PyList>> {
        let py = module.py();
        let kept = ANYIO.with(py, |anyio| {
            let known = anyio.as_ref().filter(|anyio| anyio.module.is(module));
            known.map(|anyio| anyio.replacements.clone_ref(py))
        });
        kept.map(|kept| kept.into_bound(py))
    }
}

/// Collects the replacements of one class's methods.
pub(super) struct Methods<'a, 'py> {
    class: Bound<'py, PyType>,
    /// The name of the module that defines it; the class itself may name another one, which exports it.
    module: Bound<'py, PyString>,
    originals: &'a Bound<'py, PyDict>,
    replacements: &'a Bound<'py, PyList>,
}

impl<'a, 'py> Methods<'a, 'py> {
    /// Those of `class`, which is defined in the module `owner`.
    pub(super) fn of(class: Bound<'py, PyType>, owner: &Bound<'py, PyModule>, lists: &'a Lists<'py>) -> PyResult<Self> {
        Ok(Self { class, module: owner.name()?, originals: &lists.originals, replacements: &lists.replacements })
    }

    /// Replaces a method by `M`, unless another library has replaced it.
    pub(super) fn replace<const N: usize, M: Method<N, Class = PyAny>>(&self) -> PyResult<()> {
        let name = M::NAME.to_string_lossy();
        let original = self.class.getattr(name!("__dict__"))?.get_item(&*name)?;
        let is_anyios = |name, expected: &Bound<'_, PyString>| match original.getattr_opt(name)? {
            Some(shown) => shown.eq(expected),
            None => Ok(false),
        };
        let text = PyString::new(self.class.py(), M::TEXT);
        if !is_anyios(name!("__qualname__"), &text)? || !is_anyios(name!("__module__"), &self.module)? {
            return Ok(());
        }
        self.originals.set_item(M::TEXT, &original)?;
        let builtin = native_methods::of_class::<N, M>(&self.class)?;
        self.replacements.append((&self.class, &*name, coroutine_function::stand_in(&builtin, &original)?))
    }
}

/// A reference out of what is known of anyio.
fn noted<T>(py: Python<'_>, which: impl FnOnce(&Anyio) -> T) -> T {
    ANYIO.with(py, |anyio| anyio.as_ref().map(which)).expect("only the replacements ask, which exist")
}

/// Calls anyio's own method, such as "Lock.acquire".
#[cold]
pub(super) fn original<'py>(
    object: &Bound<'py, PyAny>,
    name: &str,
    arguments: &[&Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let originals = noted(py, |anyio| anyio.originals.clone_ref(py));
    let all = std::iter::once(object).chain(arguments.iter().copied()).collect::<Vec<_>>();
    originals.bind(py).as_any().get_item(name)?.call1(PyTuple::new(py, all)?)
}

/// Begins to await anyio's own method.
#[cold]
pub(super) fn await_original<'py>(
    object: &Bound<'py, PyAny>,
    name: &str,
    arguments: &[&Bound<'py, PyAny>],
) -> PyResult<(Awaiting, Step<'py>)> {
    let mut awaiting = Awaiting::new(&original(object, name, arguments)?)?;
    let step = awaiting.resume(object.py(), Ok(nothing(object.py())))?;
    Ok((awaiting, step))
}

/// An attribute of anyio's backend module.
pub(super) fn in_backend<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    noted(py, |anyio| anyio.module.clone_ref(py)).bind(py).getattr(name)
}

/// A new object of anyio's class `Event`, without its attribute.
pub(super) fn empty_event(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let class = noted(py, |anyio| anyio.event.clone_ref(py));
    class.instance(py)
}

/// Raises an exception of anyio's without arguments, such as `WouldBlock`.
#[cold]
pub(super) fn anyio_error(py: Python<'_>, name: &str) -> PyErr {
    match in_backend(py, name).and_then(|class| class.call0()) {
        Ok(exception) => raised(&exception),
        Err(error) => error,
    }
}

/// What `raise ... from None` in an `except` clause for `hidden` raises.
#[cold]
pub(super) fn from_none(py: Python<'_>, hidden: &PyErr, raise: impl FnOnce() -> PyErr) -> PyErr {
    let error = handling(py, hidden, raise);
    error.set_cause(py, None);
    error
}

#[inline]
pub(super) fn nothing(py: Python<'_>) -> Bound<'_, PyAny> {
    py.None().into_bound(py)
}

/// `error` with another exception as its context, unless it has one: the one that an `except` clause of anyio's handles
/// while the error passes through.
#[cold]
pub(super) fn with_context(py: Python<'_>, error: PyErr, context: impl FnOnce() -> PyErr) -> PyErr {
    if error.context(py).is_none() {
        error.set_context(py, Some(context()));
    }
    error
}
