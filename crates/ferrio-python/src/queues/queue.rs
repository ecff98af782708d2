//! The class `Queue`.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::recursion::enter_recursive_call;
use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::recording::waits;
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::{QueueState, Side, Waiters};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::coroutines::Join;
use super::operations;
use super::storage::{self, Kind, Storage};
use crate::common::imports;
use crate::common::numbers::Truth;
use crate::locks::event::Event;
use crate::locks::loop_bound::{Binding, bound_to_loop};
use crate::locks::optional_argument::Argument;
use crate::locks::wait_queue::{self, WaitQueue};

/// A queue for tasks: first in, first out.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
#[derive(Default)]
pub(crate) struct Queue {
    pub(super) state: GilCell<State>,
    /// `_maxsize` as it was passed; None for 0.
    maxsize: GilCell<Option<Py<PyAny>>>,
    pub(super) binding: Binding,
}

/// The state that operations change.
#[derive(Default)]
pub(super) struct State {
    pub(super) exchange: QueueState<FutureWaiter>,
    pub(super) items: Storage,
    pub(super) limit: Limit,
    /// Set while there are no unfinished items.
    pub(super) finished: Option<OwnedRef<Event>>,
}

/// The maximum number of items.
#[derive(Clone, Copy, Default)]
pub(super) enum Limit {
    #[default]
    None,
    At(usize),
    /// Python compares the length with the object.
    Object,
}

impl Queue {
    /// `_finished`.
    pub(super) fn finished<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Event>> {
        self.state.with(py, |state| state.finished.as_ref().map(|event| event.bind(py).clone()))
    }

    fn put_maxsize(&self, py: Python<'_>, maxsize: Option<&Bound<'_, PyAny>>) {
        let limit = maxsize.map_or(Limit::None, operations::limit_of);
        self.state.with(py, |state| state.limit = limit);
        let maxsize = maxsize.map(|maxsize| maxsize.clone().unbind());
        let before = self.maxsize.with(py, |place| std::mem::replace(place, maxsize));
        drop(before);
    }
}

bound_to_loop!(Queue);

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(maxsize=0)")]
    pub(super) fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    #[pyo3(signature = (maxsize=Argument(None)))]
    pub(super) fn __init__<'py>(slf: &Bound<'py, Self>, maxsize: Argument<'py>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.put_maxsize(py, maxsize.0.as_ref());
        let finished = OwnedRef::of(&Event::new_set(py)?);
        let before =
            this.state.with(py, |state| (std::mem::take(&mut state.exchange), state.finished.replace(finished)));
        drop(before);
        waits::note_made(slf.as_any());
        match operations::kind(slf) {
            Some(kind) => storage::set(py, &this.state, Storage::new(py, kind)?),
            None => {
                slf.call_method1(pyo3::intern!(py, "_init"), (this.shown_maxsize(py)?,))?;
            }
        }
        Ok(())
    }

    #[classmethod]
    fn __class_getitem__<'py>(class: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        imports::generic_alias(class.py())?.call1((class, item))
    }

    /// For subclasses: make room for items.
    fn _init(&self, py: Python<'_>, maxsize: &Bound<'_, PyAny>) {
        let _ = maxsize;
        storage::set(py, &self.state, Storage::default());
    }

    /// For subclasses: take an item out.
    fn _get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        storage::get(py, &self.state, Kind::Fifo)
    }

    /// For subclasses: put an item in.
    fn _put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        storage::put(&self.state, Kind::Fifo, item)
    }

    /// Number of items allowed in the queue.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.shown_maxsize(py)
    }

    /// Return True if there are maxsize items in the queue.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        operations::full(slf)
    }

    /// Wait until all items that were put are worked on.
    fn join(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Queue.join", Join::new(slf))
    }

    /// Make puts raise `QueueShutDown`, and gets once the queue is empty; 'immediate' empties it.
    #[pyo3(signature = (immediate=Truth(false)), text_signature = "($self, immediate=False)")]
    fn shutdown(slf: &Bound<'_, Self>, immediate: Truth) -> PyResult<()> {
        operations::shut_down_now(slf, immediate.0)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let format = slf.call_method0(pyo3::intern!(slf.py(), "_format"))?;
        Ok(Text(format!("<{} at {:#x} {format}>", slf.get_type().name()?, slf.as_ptr().addr())))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let format = slf.call_method0(pyo3::intern!(slf.py(), "_format"))?;
        Ok(Text(format!("<{} {format}>", slf.get_type().name()?)))
    }

    fn _format(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let mut words = vec![format!("maxsize={}", slf.get().shown_maxsize(py)?.bind(py).repr()?)];
        let items = storage::listed(py, &slf.get().state)?;
        if items.is_truthy()? {
            let items = items.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            let items = memory::list(py, items)?;
            // The items may include a queue.
            let shown = enter_recursive_call(py, c" while getting the repr of a queue", || items.repr())?;
            words.push(format!("_queue={shown}"));
        }
        slf.get().state.with(py, |state| {
            let QueueState { getters, putters, unfinished, is_shut_down } = &state.exchange;
            words.extend((!getters.is_empty()).then(|| format!("_getters[{}]", getters.len())));
            words.extend((!putters.is_empty()).then(|| format!("_putters[{}]", putters.len())));
            words.extend((*unfinished != 0).then(|| format!("tasks={unfinished}")));
            words.extend(is_shut_down.then(|| "shutdown".to_owned()));
        });
        Ok(words.join(" "))
    }

    fn _wakeup_next(&self, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        operations::wake_next_of(waiters)
    }

    #[getter(_queue)]
    fn shown_queue<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let kind = if slf.is_instance_of::<super::kinds::LifoQueue>() { Kind::Lifo } else { Kind::Fifo };
        storage::shown(slf.py(), &slf.get().state, kind)
    }

    #[setter(_queue)]
    fn set_queue(&self, queue: &Bound<'_, PyAny>) {
        storage::set(queue.py(), &self.state, Storage::Object(queue.clone().into()));
    }

    #[getter(_maxsize)]
    pub(super) fn shown_maxsize(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.maxsize.with(py, |maxsize| maxsize.as_ref().map(|maxsize| maxsize.clone_ref(py))) {
            Some(maxsize) => Ok(maxsize),
            None => Ok(0i64.into_pyobject(py)?.into_any().unbind()),
        }
    }

    #[setter(_maxsize)]
    fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) {
        self.put_maxsize(maxsize.py(), Some(maxsize));
    }

    #[getter(_getters)]
    fn shown_getters(slf: &Bound<'_, Self>) -> WaitQueue {
        wait_queue::view(slf, access_getters)
    }

    #[setter(_getters)]
    fn set_getters(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        wait_queue::assign(slf, access_getters, waiters)
    }

    #[getter(_putters)]
    fn shown_putters(slf: &Bound<'_, Self>) -> WaitQueue {
        wait_queue::view(slf, access_putters)
    }

    #[setter(_putters)]
    fn set_putters(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        wait_queue::assign(slf, access_putters, waiters)
    }

    #[getter(_unfinished_tasks)]
    fn shown_unfinished(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |state| state.exchange.unfinished)
    }

    #[setter(_unfinished_tasks)]
    fn set_unfinished(&self, py: Python<'_>, count: i64) {
        self.state.with(py, |state| state.exchange.unfinished = count);
    }

    #[getter(_is_shutdown)]
    fn shown_shut_down(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.exchange.is_shut_down)
    }

    #[setter(_is_shutdown)]
    fn set_shut_down(&self, py: Python<'_>, is_shut_down: bool) {
        self.state.with(py, |state| state.exchange.is_shut_down = is_shut_down);
    }

    #[getter(_finished)]
    fn shown_finished<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Event>> {
        self.finished(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        self.maxsize.traverse(&visit, |maxsize| visit.call(maxsize)).transpose()?;
        let all = self.state.traverse(&visit, |state| {
            state.finished.as_ref().map_or(Ok(()), |finished| finished.traverse(&visit))?;
            state.items.traverse(&visit)?;
            wait_queue::traverse(&state.exchange.getters, &visit)?;
            wait_queue::traverse(&state.exchange.putters, &visit)
        });
        all.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let state = self.state.with(py, std::mem::take);
        drop(state);
        self.binding.set(py, None);
    }
}

fn access(object: &Bound<'_, PyAny>, side: Side, change: &mut dyn FnMut(&mut Waiters<FutureWaiter>)) {
    if let Ok(queue) = object.cast::<Queue>() {
        queue.get().state.with(object.py(), |state| change(state.exchange.wait_queue(side)));
    }
}

pub(crate) fn access_getters(object: &Bound<'_, PyAny>, change: &mut dyn FnMut(&mut Waiters<FutureWaiter>)) {
    access(object, Side::Get, change);
}

pub(crate) fn access_putters(object: &Bound<'_, PyAny>, change: &mut dyn FnMut(&mut Waiters<FutureWaiter>)) {
    access(object, Side::Put, change);
}
