//! `asyncio.Condition`.
//!
//! asyncio copies the lock's `locked`, `acquire` and `release` to the condition at its creation. Here that happens for
//! foreign locks and subclasses; with ferrio's own lock the methods are looked up on use.

use std::ffi::CStr;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::objects::async_with;
use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::native_methods::{self, Method};
use ferrio_cpython::objects::recording::waits;
use ferrio_cpython::objects::waiter::{self, FutureWaiter};
use ferrio_engine::Waiters;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::condition_wait::{Enter, Wait, WaitFor};
use super::lock::{self, Lock};
use super::loop_bound::{Binding, bound_to_loop};
use super::optional_argument::Argument;
use super::wait_queue::{self, WaitQueue};
use super::{async_context, described, waiters_suffix, wake_all};
use crate::common::numbers::plain_integer;

/// A lock together with tasks that wait to be notified by its holders.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
#[derive(Default)]
pub(crate) struct Condition {
    pub(super) waiters: GilCell<Waiters<FutureWaiter>>,
    parts: GilCell<Parts>,
    pub(super) binding: Binding,
}

/// The lock, and the attributes that replace its methods.
#[derive(Default)]
struct Parts {
    lock: Option<Py<PyAny>>,
    /// The lock, while it is ferrio's own and its methods are not replaced.
    native: Option<Py<Lock>>,
    locked: Option<Py<PyAny>>,
    acquire: Option<Py<PyAny>>,
    release: Option<Py<PyAny>>,
}

/// Selects the field of one method in `Parts`.
type Place = fn(&mut Parts) -> &mut Option<Py<PyAny>>;

const LOCKED: (&str, Place) = ("locked", |parts| &mut parts.locked);
const ACQUIRE: (&str, Place) = ("acquire", |parts| &mut parts.acquire);
const RELEASE: (&str, Place) = ("release", |parts| &mut parts.release);

/// The class, for recognising unpatched instances.
pub(super) static CLASS: ExactType = ExactType::new();

impl Condition {
    /// The lock, if it is ferrio's own and nothing of the condition is overridden.
    #[inline]
    pub(super) fn native<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, Lock>> {
        if !CLASS.is_unpatched(slf) {
            return None;
        }
        let py = slf.py();
        slf.get().parts.with(py, |parts| parts.native.as_ref().map(|lock| lock.bind(py).clone()))
    }

    /// The result of `self.locked()`.
    pub(super) fn is_locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        match Self::native(slf) {
            Some(lock) => Ok(lock.get().is_held(py)),
            None => slf.call_method0(pyo3::intern!(py, "locked"))?.is_truthy(),
        }
    }

    /// Calls `self.release()`.
    pub(super) fn give_up_lock(slf: &Bound<'_, Self>) -> PyResult<()> {
        match Self::native(slf) {
            Some(lock) => Lock::release(&lock),
            None => async_context::release_by_name(slf),
        }
    }

    fn method<'py>(slf: &Bound<'py, Self>, (name, place): (&str, Place)) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (set, lock) = slf.get().parts.with(py, |parts| {
            let set = place(parts).as_ref().map(|method| method.bind(py).clone());
            (set, parts.lock.as_ref().map(|lock| lock.bind(py).clone()))
        });
        match (set, lock) {
            (Some(method), _) => Ok(method),
            (None, Some(lock)) => lock.getattr(memory::text(py, name)?),
            (None, None) => {
                Err(ferrio_cpython::error::<PyAttributeError>(format!("'Condition' object has no attribute '{name}'")))
            }
        }
    }

    fn set_method(&self, method: Bound<'_, PyAny>, place: Place) {
        let py = method.py();
        let method = method.unbind();
        let before = self.parts.with(py, |parts| (place(parts).replace(method), parts.native.take()));
        drop(before);
    }

    /// `_notify`: wakes up to `count` waiters.
    pub(super) fn notify_some(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        waiter::query_states(py, &self.waiters, |waiters| waiters)?;
        let chosen = self
            .waiters
            .with(py, |waiters| waiters.waiting().take(count).map(|waiter| waiter.clone_ref(py)).collect::<Vec<_>>());
        wake_all(py, chosen, false)
    }
}

bound_to_loop!(Condition);

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(lock=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    #[pyo3(signature = (lock=None))]
    fn __init__(slf: &Bound<'_, Self>, lock: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let lock = match lock {
            Some(lock) => lock,
            None => Lock::unheld(py)?.into_any(),
        };
        let native = lock::CLASS.is_unpatched(&lock).then(|| lock.cast::<Lock>()).transpose()?;
        let native = native.map(|lock| lock.clone().unbind());
        let copies = native.is_none() || !CLASS.is_unpatched(slf);
        let parts = Parts { lock: Some(lock.clone().unbind()), native, ..Parts::default() };
        let before = slf.get().parts.with(py, |place| std::mem::replace(place, parts));
        drop(before);
        let waiters = slf.get().waiters.with(py, Waiters::take_all);
        drop(waiters);
        waits::note_made(slf.as_any());
        if copies {
            for (name, _) in [LOCKED, ACQUIRE, RELEASE] {
                slf.setattr(name, lock.getattr(name)?)?;
            }
        }
        Ok(())
    }

    /// The lock's `locked`.
    #[getter(locked)]
    fn shown_locked<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::method(slf, LOCKED)
    }

    #[setter(locked)]
    fn set_locked(&self, method: Bound<'_, PyAny>) {
        self.set_method(method, LOCKED.1);
    }

    /// The lock's `acquire`.
    #[getter(acquire)]
    fn shown_acquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::method(slf, ACQUIRE)
    }

    #[setter(acquire)]
    fn set_acquire(&self, method: Bound<'_, PyAny>) {
        self.set_method(method, ACQUIRE.1);
    }

    /// The lock's `release`.
    #[getter(release)]
    fn shown_release<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::method(slf, RELEASE)
    }

    #[setter(release)]
    fn set_release(&self, method: Bound<'_, PyAny>) {
        self.set_method(method, RELEASE.1);
    }

    /// Let n of the waiting tasks go on once they get the lock.
    #[pyo3(signature = (n=Argument(None)), text_signature = "($self, n=1)")]
    fn notify<'py>(slf: &Bound<'py, Self>, n: Argument<'py>) -> PyResult<()> {
        if !Self::is_locked(slf)? {
            return Err(ferrio_cpython::error::<PyRuntimeError>("cannot notify on un-acquired lock"));
        }
        n.0.map_or_else(|| slf.get().notify_some(slf.py(), 1), |n| slf.get().notify_up_to(&n))
    }

    #[pyo3(name = "_notify")]
    fn notify_up_to(&self, n: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = n.py();
        if let Some(number) = plain_integer(n) {
            return self.notify_some(py, usize::try_from(number).unwrap_or(0));
        }
        // asyncio compares any other number before each waiter.
        let most = self.waiters.with(py, |waiters| waiters.len());
        let mut count = 0;
        while count < most && !PyInt::new(py, count).ge(n)? {
            count += 1;
        }
        self.notify_some(py, count)
    }

    /// Let all waiting tasks go on once they get the lock.
    pub(super) fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let count = slf.get().waiters.with(py, |waiters| waiters.len());
        if CLASS.is_unpatched(slf) {
            return Self::notify(slf, Argument(Some(PyInt::new(py, count).into_any())));
        }
        slf.call_method1(pyo3::intern!(py, "notify"), (count,)).map(drop)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let count = slf.get().waiters.with(slf.py(), |waiters| waiters.len());
        let status = if Self::is_locked(slf)? { "locked" } else { "unlocked" };
        described(slf, &format!("{status}{}", waiters_suffix(count)))
    }

    #[getter(_lock)]
    fn shown_lock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parts.with(py, |parts| parts.lock.as_ref().map(|lock| lock.clone_ref(py)))
    }

    #[getter(_waiters)]
    fn shown_waiters(slf: &Bound<'_, Self>) -> WaitQueue {
        wait_queue::view(slf, access)
    }

    #[setter(_waiters)]
    fn set_waiters(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        wait_queue::assign(slf, access, waiters)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        self.waiters.traverse(&visit, |waiters| wait_queue::traverse(waiters, &visit)).transpose()?;
        let all = self.parts.traverse(&visit, |parts| {
            visit.call(&parts.lock)?;
            visit.call(&parts.native)?;
            [&parts.locked, &parts.acquire, &parts.release].into_iter().try_for_each(|method| visit.call(method))
        });
        all.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let waiters = self.waiters.with(py, Waiters::take_all);
        let parts = self.parts.with(py, std::mem::take);
        drop((waiters, parts));
        self.binding.set(py, None);
    }
}

/// Adds the methods that need no `PyO3` wrapper.
pub(super) fn add_methods(py: Python<'_>) -> PyResult<()> {
    native_methods::add::<0, WaitMethod>(py)?;
    native_methods::add::<1, WaitForMethod>(py)?;
    async_with::add::<Condition>(py, enter, exit)
}

struct WaitMethod;

impl Method<0> for WaitMethod {
    type Class = Condition;
    const NAME: &'static CStr = c"wait";
    const TEXT: &'static str = "Condition.wait";
    const DOC: &'static CStr =
        c"wait($self)\n--\n\nRelease the lock, wait until notified, take the lock again and return True.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Condition>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Condition.wait", Wait::new(slf))
    }
}

struct WaitForMethod;

impl Method<1> for WaitForMethod {
    type Class = Condition;
    const NAME: &'static CStr = c"wait_for";
    const TEXT: &'static str = "Condition.wait_for";
    const DOC: &'static CStr =
        c"wait_for($self, predicate)\n--\n\nWait until a predicate becomes true, and return what it gave.";
    const ARGUMENTS: [&'static str; 1] = ["predicate"];

    fn call<'py>(slf: &Bound<'py, Condition>, [predicate]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Condition.wait_for", WaitFor::new(slf, &predicate))
    }
}

fn enter(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    match Condition::native(object.cast()?) {
        Some(lock) => coroutine::spawn(object.py(), "_ContextManagerMixin.__aenter__", Enter::new(&lock)),
        None => async_context::enter(object),
    }
}

fn exit(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    async_context::exit(object, |object| Condition::give_up_lock(object.cast()?))
}

pub(crate) fn access(object: &Bound<'_, PyAny>, change: &mut dyn FnMut(&mut Waiters<FutureWaiter>)) {
    if let Ok(condition) = object.cast::<Condition>() {
        condition.get().waiters.with(object.py(), |waiters| change(waiters));
    }
}
