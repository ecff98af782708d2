//! The performance-critical methods of queues.

use std::ffi::CStr;

use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::native_methods::{self, Method};
use pyo3::prelude::*;

use super::coroutines::{Get, Put};
use super::queue::Queue;
use super::{operations, storage};
use crate::locks::boolean;

/// Adds the methods to the class.
pub(super) fn add(py: Python<'_>) -> PyResult<()> {
    native_methods::add::<1, PutMethod>(py)?;
    native_methods::add::<1, PutNowait>(py)?;
    native_methods::add::<0, GetMethod>(py)?;
    native_methods::add::<0, GetNowait>(py)?;
    native_methods::add::<0, TaskDone>(py)?;
    native_methods::add::<0, Empty>(py)?;
    native_methods::add::<0, Size>(py)
}

struct PutMethod;

impl Method<1> for PutMethod {
    type Class = Queue;
    const NAME: &'static CStr = c"put";
    const TEXT: &'static str = "Queue.put";
    const DOC: &'static CStr = c"put($self, item)\n--\n\nPut an item into the queue; wait for a free slot if it is full.\n\nRaises QueueShutDown if the queue has been shut down.";
    const ARGUMENTS: [&'static str; 1] = ["item"];

    fn call<'py>(queue: &Bound<'py, Queue>, [item]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(queue.py(), "Queue.put", Put::new(queue, item))
    }
}

struct PutNowait;

impl Method<1> for PutNowait {
    type Class = Queue;
    const NAME: &'static CStr = c"put_nowait";
    const TEXT: &'static str = "Queue.put_nowait";
    const DOC: &'static CStr = c"put_nowait($self, item)\n--\n\nPut an item into the queue without waiting, or raise QueueFull.\n\nRaises QueueShutDown if the queue has been shut down.";
    const ARGUMENTS: [&'static str; 1] = ["item"];

    fn call<'py>(queue: &Bound<'py, Queue>, [item]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        operations::put_nowait(queue, item)?;
        Ok(queue.py().None())
    }
}

struct GetMethod;

impl Method<0> for GetMethod {
    type Class = Queue;
    const NAME: &'static CStr = c"get";
    const TEXT: &'static str = "Queue.get";
    const DOC: &'static CStr = c"get($self)\n--\n\nRemove and return an item from the queue; wait for one if it is empty.\n\nRaises QueueShutDown if the queue has been shut down and is empty.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(queue: &Bound<'py, Queue>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(queue.py(), "Queue.get", Get::new(queue))
    }
}

struct GetNowait;

impl Method<0> for GetNowait {
    type Class = Queue;
    const NAME: &'static CStr = c"get_nowait";
    const TEXT: &'static str = "Queue.get_nowait";
    const DOC: &'static CStr = c"get_nowait($self)\n--\n\nRemove and return an item from the queue without waiting, or raise QueueEmpty.\n\nRaises QueueShutDown if the queue has been shut down and is empty.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(queue: &Bound<'py, Queue>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        operations::get_nowait(queue).map(Bound::unbind)
    }
}

struct TaskDone;

impl Method<0> for TaskDone {
    type Class = Queue;
    const NAME: &'static CStr = c"task_done";
    const TEXT: &'static str = "Queue.task_done";
    const DOC: &'static CStr =
        c"task_done($self)\n--\n\nIndicate that an item that was put is worked on. When all are, join() goes on.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(queue: &Bound<'py, Queue>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        operations::task_done(queue)?;
        Ok(queue.py().None())
    }
}

struct Empty;

impl Method<0> for Empty {
    type Class = Queue;
    const NAME: &'static CStr = c"empty";
    const TEXT: &'static str = "Queue.empty";
    const DOC: &'static CStr = c"empty($self)\n--\n\nReturn True if the queue is empty, False otherwise.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(queue: &Bound<'py, Queue>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = queue.py();
        Ok(boolean(py, storage::is_empty(py, &queue.get().state)?).unbind())
    }
}

struct Size;

impl Method<0> for Size {
    type Class = Queue;
    const NAME: &'static CStr = c"qsize";
    const TEXT: &'static str = "Queue.qsize";
    const DOC: &'static CStr = c"qsize($self)\n--\n\nNumber of items in the queue.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(queue: &Bound<'py, Queue>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = queue.py();
        Ok(storage::len(py, &queue.get().state)?.into_pyobject(py)?.into_any().unbind())
    }
}
