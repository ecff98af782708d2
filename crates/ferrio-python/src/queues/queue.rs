//! The class `Queue`.

use ferrio_cpython::GilCell;
use ferrio_cpython::coroutine;
use ferrio_cpython::parked::Parked;
use ferrio_engine::{Exchange, Side, Waiters};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::operations;
use super::storage::{self, Kind, Storage};
use super::waiting::{Get, Join, Put};
use crate::imports;
use crate::sync::argument::Argument;
use crate::sync::binding::Binding;
use crate::sync::event::Event;
use crate::sync::line::{self, Line};

/// A queue for tasks: first in, first out.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
#[derive(Default)]
pub(crate) struct Queue {
    pub(super) exchange: GilCell<Exchange<Parked>>,
    pub(super) items: GilCell<Storage>,
    pub(super) limit: GilCell<Limit>,
    /// `_maxsize` as it was given; None for 0.
    maxsize: GilCell<Option<Py<PyAny>>>,
    /// Set while no item is unfinished.
    finished: GilCell<Option<Py<Event>>>,
    pub(super) binding: Binding,
}

/// How many items fit.
#[derive(Clone, Copy, Default)]
pub(super) enum Limit {
    #[default]
    None,
    At(usize),
    /// Python compares.
    Object,
}

impl Queue {
    /// `_finished`.
    pub(super) fn finished<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Event>> {
        self.finished.with(py, |finished| finished.as_ref().map(|event| event.bind(py).clone()))
    }

    fn put_maxsize(&self, py: Python<'_>, maxsize: Option<&Bound<'_, PyAny>>) {
        self.limit.set(py, maxsize.map_or(Limit::None, operations::limit_of));
        let maxsize = maxsize.map(|maxsize| maxsize.clone().unbind());
        let before = self.maxsize.with(py, |place| std::mem::replace(place, maxsize));
        drop(before);
    }
}

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
        let exchange = this.exchange.with(py, std::mem::take);
        drop(exchange);
        let finished = Event::new_set(py)?;
        let before = this.finished.with(py, |place| place.replace(finished));
        drop(before);
        match operations::kind(slf) {
            Some(kind) => storage::set(py, &this.items, Storage::new(py, kind)),
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
        storage::set(py, &self.items, Storage::default());
    }

    /// For subclasses: take an item out.
    fn _get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        storage::get(py, &self.items, Kind::Fifo)
    }

    /// For subclasses: put an item in.
    fn _put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        storage::put(&self.items, Kind::Fifo, item)
    }

    /// Number of items in the queue.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        storage::len(py, &self.items)
    }

    /// Number of items allowed in the queue.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.shown_maxsize(py)
    }

    /// Return True if the queue is empty, False otherwise.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        storage::is_empty(py, &self.items)
    }

    /// Return True if there are maxsize items in the queue.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        operations::own_full(slf)
    }

    /// Put an item into the queue; wait for a free slot if it is full.
    ///
    /// Raises `QueueShutDown` if the queue has been shut down.
    fn put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Queue.put", Put::new(slf, item))
    }

    /// Put an item into the queue without waiting, or raise `QueueFull`.
    ///
    /// Raises `QueueShutDown` if the queue has been shut down.
    fn put_nowait<'py>(slf: &Bound<'py, Self>, item: Bound<'py, PyAny>) -> PyResult<()> {
        operations::own_put_now(slf, item)
    }

    /// Remove and return an item from the queue; wait for one if it is empty.
    ///
    /// Raises `QueueShutDown` if the queue has been shut down and is empty.
    fn get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Queue.get", Get::new(slf))
    }

    /// Remove and return an item from the queue without waiting, or raise `QueueEmpty`.
    ///
    /// Raises `QueueShutDown` if the queue has been shut down and is empty.
    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operations::own_get_now(slf)
    }

    /// Indicate that an item that was put is worked on. When all are, `join()` goes on.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        operations::task_done(slf)
    }

    /// Wait until all items that were put are worked on.
    fn join(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Queue.join", Join::new(slf))
    }

    /// Make puts raise `QueueShutDown`, and gets once the queue is empty; 'immediate' empties it.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(slf: &Bound<'_, Self>, immediate: bool) -> PyResult<()> {
        operations::shut_down_now(slf, immediate)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let format = slf.call_method0(pyo3::intern!(slf.py(), "_format"))?;
        Ok(format!("<{} at {:#x} {format}>", slf.get_type().name()?, slf.as_ptr().addr()))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let format = slf.call_method0(pyo3::intern!(slf.py(), "_format"))?;
        Ok(format!("<{} {format}>", slf.get_type().name()?))
    }

    fn _format(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let mut words = vec![format!("maxsize={}", slf.get().shown_maxsize(py)?.bind(py).repr()?)];
        let items = storage::listed(py, &slf.get().items)?;
        if items.is_truthy()? {
            let items = items.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            words.push(format!("_queue={}", PyList::new(py, items)?.repr()?));
        }
        slf.get().exchange.with(py, |exchange| {
            let Exchange { getters, putters, unfinished, is_shut_down } = exchange;
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
        storage::shown(slf.py(), &slf.get().items, kind)
    }

    #[setter(_queue)]
    fn set_queue(&self, queue: &Bound<'_, PyAny>) {
        storage::set(queue.py(), &self.items, Storage::Object(queue.clone().unbind()));
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
    fn shown_getters(slf: &Bound<'_, Self>) -> Line {
        line::view(slf, access_getters)
    }

    #[setter(_getters)]
    fn set_getters(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        line::assign(slf, access_getters, waiters)
    }

    #[getter(_putters)]
    fn shown_putters(slf: &Bound<'_, Self>) -> Line {
        line::view(slf, access_putters)
    }

    #[setter(_putters)]
    fn set_putters(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        line::assign(slf, access_putters, waiters)
    }

    #[getter(_unfinished_tasks)]
    fn shown_unfinished(&self, py: Python<'_>) -> i64 {
        self.exchange.with(py, |exchange| exchange.unfinished)
    }

    #[setter(_unfinished_tasks)]
    fn set_unfinished(&self, py: Python<'_>, count: i64) {
        self.exchange.with(py, |exchange| exchange.unfinished = count);
    }

    #[getter(_is_shutdown)]
    fn shown_shut_down(&self, py: Python<'_>) -> bool {
        self.exchange.with(py, |exchange| exchange.is_shut_down)
    }

    #[setter(_is_shutdown)]
    fn set_shut_down(&self, py: Python<'_>, is_shut_down: bool) {
        self.exchange.with(py, |exchange| exchange.is_shut_down = is_shut_down);
    }

    #[getter(_finished)]
    fn shown_finished<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Event>> {
        self.finished(py)
    }

    #[getter(_loop)]
    fn shown_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.binding.shown(py)
    }

    #[setter(_loop)]
    fn set_loop(&self, py: Python<'_>, owner: Option<Py<PyAny>>) {
        self.binding.set(py, owner);
    }

    fn _get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().binding.running_loop(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        self.finished.traverse(&visit, |finished| visit.call(finished)).transpose()?;
        self.items.traverse(&visit, |items| items.traverse(&visit)).transpose()?;
        let both = self.exchange.traverse(&visit, |exchange| {
            line::traverse(&exchange.getters, &visit)?;
            line::traverse(&exchange.putters, &visit)
        });
        both.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let exchange = self.exchange.with(py, std::mem::take);
        let finished = self.finished.with(py, Option::take);
        drop((exchange, finished));
        storage::set(py, &self.items, Storage::default());
        self.binding.set(py, None);
    }
}

fn access(object: &Bound<'_, PyAny>, side: Side, change: &mut dyn FnMut(&mut Waiters<Parked>)) {
    if let Ok(queue) = object.cast::<Queue>() {
        queue.get().exchange.with(object.py(), |exchange| change(exchange.line(side)));
    }
}

fn access_getters(object: &Bound<'_, PyAny>, change: &mut dyn FnMut(&mut Waiters<Parked>)) {
    access(object, Side::Get, change);
}

fn access_putters(object: &Bound<'_, PyAny>, change: &mut dyn FnMut(&mut Waiters<Parked>)) {
    access(object, Side::Put, change);
}
