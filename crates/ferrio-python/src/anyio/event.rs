//! `Event.wait`, and how other operations make anyio's events and set them.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::capi::slot::{Slot, is_private};
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use super::originals::{self, Methods, nothing};
use super::{backend, serving};
use crate::locks::event::{Event, Wait};

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

static INNER: Slot = Slot::new("_event");

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    INNER.find(methods.class())?;
    methods.replace::<0, WaitMethod>()?;
    methods.replace::<0, SetMethod>()?;
    methods.replace::<0, IsSetMethod>()?;
    methods.replace::<0, InitMethod>()
}

/// The class by whose name programs make events.
pub(super) fn replace_new(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace_new(wrap_pyfunction!(new, methods.module())?.as_any(), "Event.__new__")
}

/// `Event.__new__`: an event of the running loop's backend.
#[pyfunction]
#[pyo3(name = "__new__", signature = (*arguments, **keywords))]
fn new<'py>(arguments: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
    let py = arguments.py();
    let passes_nothing = arguments.len() == 1 && keywords.is_none();
    if passes_nothing && serving::served(py, pyo3::intern!(py, "create_event"))?.is_some() {
        return create_event(py);
    }
    originals::call(py, "Event.__new__", arguments, keywords)
}

/// asyncio's event in anyio's, if both are of the expected classes.
#[inline]
fn inner<'py>(event: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Event>>> {
    if !CLASS.is_exact(event) {
        return Ok(None);
    }
    Ok(INNER.get(event)?.cast_into_exact::<Event>().ok())
}

/// asyncio's event in an event exactly of anyio's class, if there is one yet.
fn inner_if_set<'py>(event: &Bound<'py, PyAny>) -> Option<Bound<'py, Event>> {
    CLASS.is_exact(event).then(|| INNER.get_if_set(event))??.cast_into_exact::<Event>().ok()
}

/// `event.set()`.
pub(super) fn set(event: &Bound<'_, PyAny>) -> PyResult<()> {
    match inner(event)? {
        Some(inner) => Event::set(&inner),
        None => event.call_method0(pyo3::intern!(event.py(), "set")).map(drop),
    }
}

/// `AsyncIOBackend.create_event`.
#[pyfunction]
pub(crate) fn create_event(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    if backend::our_loop(py)?.is_none() {
        return backend::method(py, "create_event")?.call0();
    }
    let event = originals::empty_event(py)?;
    INNER.set(&event, Bound::new(py, Event::default())?.into_any())?;
    Ok(event)
}

struct WaitMethod;

impl Method<0> for WaitMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"wait";
    const TEXT: &'static str = "Event.wait";
    const DOC: &'static CStr = c"wait($self)\n--\n\nWait until the flag has been set.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), Self::TEXT, Waiting { event: OwnedRef::of(slf), stage: Stage::New })
    }
}

struct SetMethod;

impl Method<0> for SetMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"set";
    const TEXT: &'static str = "Event.set";
    const DOC: &'static CStr = c"set($self)\n--\n\nSet the flag, notifying all listeners.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        match inner(slf)? {
            Some(inner) => Event::set(&inner).map(|()| slf.py().None()),
            None => originals::original(slf, Self::TEXT, &[]).map(Bound::unbind),
        }
    }
}

struct IsSetMethod;

impl Method<0> for IsSetMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"is_set";
    const TEXT: &'static str = "Event.is_set";
    const DOC: &'static CStr = c"is_set($self)\n--\n\nReturn whether the flag is set.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        match inner(slf)? {
            Some(inner) => Ok(PyBool::new(py, inner.get().is_set(py)).to_owned().into_any().unbind()),
            None => originals::original(slf, Self::TEXT, &[]).map(Bound::unbind),
        }
    }
}

struct InitMethod;

impl Method<0> for InitMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"__init__";
    const TEXT: &'static str = "Event.__init__";
    const DOC: &'static CStr = c"__init__($self)\n--\n\n";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if backend::our_loop(py)?.is_some() {
            // `anyio.Event()` initialises what its `__new__` has made already.
            if !inner_if_set(slf).is_some_and(|inner| is_private(inner.as_any()) && inner.get().is_untouched(py)) {
                INNER.set(slf, Bound::new(py, Event::default())?.into_any())?;
            }
            return Ok(py.None());
        }
        originals::original(slf, Self::TEXT, &[]).map(Bound::unbind)
    }
}

/// The body of `wait`.
struct Waiting {
    event: OwnedRef,
    stage: Stage,
}

enum Stage {
    New,
    /// The event was set already; lets the other tasks run.
    Turn,
    Waiting(Wait),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

impl Waiting {
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let event = self.event.bind(py);
        let Some(inner) = backend::our_loop(py)?.map_or(Ok(None), |_| inner(event))? else {
            let (awaiting, step) = originals::await_original(event, WaitMethod::TEXT, &[])?;
            self.stage = Stage::Theirs(awaiting);
            return Ok(step);
        };
        if inner.get().is_set(py) {
            self.stage = Stage::Turn;
            return Ok(Step::Yielded(nothing(py)));
        }
        let mut wait = Event::waiting(&inner);
        let step = wait.resume(py, Ok(nothing(py)))?;
        self.stage = Stage::Waiting(wait);
        Ok(step)
    }
}

impl Body for Waiting {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {
                input?;
                self.begin(py)
            }
            Stage::Turn => input.map(|_| Step::Returned(nothing(py))),
            Stage::Waiting(wait) => Ok(match wait.resume(py, input)? {
                Step::Returned(_) => Step::Returned(nothing(py)),
                step @ Step::Yielded(_) => step,
            }),
            Stage::Theirs(awaiting) => awaiting.resume(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.event);
        match &self.stage {
            Stage::New | Stage::Turn => {}
            Stage::Waiting(wait) => wait.traverse(visitor),
            Stage::Theirs(awaiting) => awaiting.traverse(visitor),
        }
    }
}
