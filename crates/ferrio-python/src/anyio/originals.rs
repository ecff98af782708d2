//! anyio's own methods behind the replacements, and its classes and exceptions.
//!
//! A replacement calls anyio's own method (`original`) for whatever it does not serve itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::coroutine_function;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::python_class::PythonClass;
use ferrio_cpython::capi::raise::{handled, handling, normalized, raised};
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Visitor};
use ferrio_cpython::objects::native_methods::{self, Method};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

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
    /// The module that defines it; the class itself may name another one, which exports it.
    owner: Bound<'py, PyModule>,
    originals: &'a Bound<'py, PyDict>,
    replacements: &'a Bound<'py, PyList>,
}

impl<'a, 'py> Methods<'a, 'py> {
    /// The methods of `class`, which the module `owner` defines.
    pub(super) fn of(class: Bound<'py, PyType>, owner: &Bound<'py, PyModule>, lists: &'a Lists<'py>) -> PyResult<Self> {
        Ok(Self { class, owner: owner.clone(), originals: &lists.originals, replacements: &lists.replacements })
    }

    /// Replaces a method by `M`, unless another library has replaced it.
    pub(super) fn replace<const N: usize, M: Method<N, Class = PyAny>>(&self) -> PyResult<()> {
        self.replacement::<N, M>().map(drop)
    }

    /// `replace`, with a note of the replacement.
    pub(super) fn replace_and_keep<const N: usize, M: Method<N, Class = PyAny>>(&self, kept: &Kept) -> PyResult<()> {
        kept.note(self.replacement::<N, M>()?.as_ref());
        Ok(())
    }

    /// Replaces `__new__`, whose qualified name is `text`, by a function.
    pub(super) fn replace_new(&self, function: &Bound<'py, PyAny>, text: &str) -> PyResult<()> {
        let py = self.class.py();
        let theirs = self.class.getattr(name!("__dict__"))?.call_method1(name!("get"), (name!("__new__"),))?;
        let Some(original) = theirs.getattr_opt(name!("__func__"))? else { return Ok(()) };
        if !self.is_anyios(&original, text)? {
            return Ok(());
        }
        self.originals.set_item(text, &original)?;
        let ours = coroutine_function::stand_in(function, &original)?;
        let ours = ferrio_cpython::module(py, name!("builtins"))?.getattr(name!("staticmethod"))?.call1((ours,))?;
        self.replacements.append((&self.class, name!("__new__"), ours))
    }

    pub(super) fn class(&self) -> &Bound<'py, PyType> {
        &self.class
    }

    pub(super) fn module(&self) -> &Bound<'py, PyModule> {
        &self.owner
    }

    /// Whether a function is the one that the module defines under the qualified name `text`.
    fn is_anyios(&self, function: &Bound<'py, PyAny>, text: &str) -> PyResult<bool> {
        for (name, expected) in [(name!("__qualname__"), text), (name!("__module__"), self.owner.name()?.to_str()?)] {
            match function.getattr_opt(name)? {
                Some(shown) if shown.eq(expected)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn replacement<const N: usize, M: Method<N, Class = PyAny>>(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = M::NAME.to_string_lossy();
        let original = self.class.getattr(name!("__dict__"))?.get_item(&*name)?;
        if !self.is_anyios(&original, M::TEXT)? {
            return Ok(None);
        }
        self.originals.set_item(M::TEXT, &original)?;
        let builtin = native_methods::of_class::<N, M>(&self.class)?;
        let replacement = coroutine_function::stand_in(&builtin, &original)?;
        self.replacements.append((&self.class, &*name, &replacement))?;
        Ok(Some(replacement))
    }
}

/// A replacement that is looked for. The lists keep it alive.
pub(super) struct Kept(AtomicUsize);

impl Kept {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(super) fn note(&self, replacement: Option<&Bound<'_, PyAny>>) {
        // Relaxed: written with the GIL held, as it is read.
        self.0.store(replacement.map_or(0, |replacement| replacement.as_ptr().addr()), Ordering::Relaxed);
    }

    /// Whether `object` is the replacement.
    #[inline]
    pub(super) fn is(&self, object: &Bound<'_, PyAny>) -> bool {
        object.as_ptr().addr() == self.0.load(Ordering::Relaxed)
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
    let all = std::iter::once(object).chain(arguments.iter().copied()).cloned().collect::<Vec<_>>();
    originals.bind(py).as_any().get_item(memory::text(py, name)?)?.call1(memory::tuple(py, all)?)
}

/// Calls anyio's own function, such as "Event.__new__", with the arguments of a call.
#[cold]
pub(super) fn call<'py>(
    py: Python<'py>,
    name: &str,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let originals = noted(py, |anyio| anyio.originals.clone_ref(py));
    originals.bind(py).as_any().get_item(memory::text(py, name)?)?.call(arguments, keywords)
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
    noted(py, |anyio| anyio.module.clone_ref(py)).bind(py).getattr(memory::text(py, name)?)
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

/// The `WouldBlock` that an `except` clause of anyio's handles while an operation waits; made when it is asked for.
#[derive(Default)]
pub(super) struct Blocked {
    /// What was being handled when the operation began to wait.
    context: Option<OwnedRef>,
}

impl Blocked {
    #[inline]
    pub(super) fn now(py: Python<'_>) -> Self {
        Self { context: handled(py).map(OwnedRef::from) }
    }

    #[cold]
    pub(super) fn error(&self, py: Python<'_>) -> PyErr {
        let error = normalized(py, anyio_error(py, "WouldBlock"));
        error.set_context(py, self.context.as_ref().map(|context| PyErr::from_value(context.bind(py).clone())));
        error
    }

    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        self.context.iter().for_each(|context| visitor.show_owned(context));
    }
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
