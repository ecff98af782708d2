//! The same functions on ferrio-bridge and on pyo3-async-runtimes, for `compare.py`.

use std::future::pending;
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;

use ferrio_bridge::{Notify, coroutine, spawn_local, yield_now};
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::{future_into_py, get_runtime, init};

#[pymodule]
mod bridge_bench {
    #[pymodule_export]
    use super::{
        bridge_answered, bridge_lazy, bridge_ready, bridge_wake, tokio_answered, tokio_ready, tokio_wake,
        use_one_thread,
    };
}

/// A task that is ready at once.
#[pyfunction]
fn bridge_ready(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async { Ok::<_, PyErr>(1) })
}

/// A coroutine that is ready at once.
#[pyfunction]
fn bridge_lazy(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async { Ok::<_, PyErr>(1) })
}

/// A task that wakes once, through the loop.
#[pyfunction]
fn bridge_wake(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async {
        yield_now().await;
        Ok::<_, PyErr>(1)
    })
}

/// A thread that notifies each waiter that it is sent.
static ANSWERING: LazyLock<mpsc::Sender<Box<dyn FnOnce() + Send>>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    thread::spawn(move || receiver.into_iter().for_each(|answer| answer()));
    sender
});

/// A coroutine that another thread answers.
#[pyfunction]
fn bridge_answered(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async {
        let notify = Arc::new(Notify::new());
        let notifying = Arc::clone(&notify);
        ANSWERING.send(Box::new(move || notifying.notify_one())).expect("the thread lives as long as the process");
        notify.notified().await;
        Ok::<_, PyErr>(1)
    })
}

#[pyfunction]
fn tokio_answered(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async {
        let notify = Arc::new(tokio::sync::Notify::new());
        let notifying = Arc::clone(&notify);
        ANSWERING.send(Box::new(move || notifying.notify_one())).expect("the thread lives as long as the process");
        notify.notified().await;
        Ok(1)
    })
}

#[pyfunction]
fn tokio_ready(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async { Ok(1) })
}

#[pyfunction]
fn tokio_wake(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async {
        tokio::task::yield_now().await;
        Ok(1)
    })
}

/// Lets tokio run on one other thread, not on one for each core.
#[pyfunction]
fn use_one_thread() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all();
    init(builder);
    thread::spawn(|| get_runtime().block_on(pending::<()>()));
}
