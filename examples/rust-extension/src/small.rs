//! Small examples, one for each part of ferrio-bridge.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ferrio_bridge::{AsyncFd, Handle, Notify, await_py, coroutine, sleep, spawn_local, yield_now};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::threads::run_blocking;

/// A task that returns `value` at once.
#[pyfunction]
pub(crate) fn ready(py: Python<'_>, value: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move { Ok::<_, PyErr>(value) })
}

/// The same as a coroutine.
#[pyfunction]
pub(crate) fn lazy(py: Python<'_>, value: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async move { Ok::<_, PyErr>(value) })
}

/// A task that lets others run once and then returns `value`.
#[pyfunction]
pub(crate) fn wake_once(py: Python<'_>, value: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move {
        yield_now().await;
        Ok::<_, PyErr>(value)
    })
}

/// A task that returns `value` after `seconds`.
#[pyfunction]
pub(crate) fn slept(py: Python<'_>, seconds: f64, value: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move {
        sleep(Duration::from_secs_f64(seconds)).await;
        Ok::<_, PyErr>(value)
    })
}

/// A task that raises `ValueError`.
#[pyfunction]
pub(crate) fn failing(py: Python<'_>, text: String) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move { Err::<(), _>(PyValueError::new_err(text)) })
}

/// A task that panics.
#[pyfunction]
pub(crate) fn panicking(py: Python<'_>, text: String) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move {
        yield_now().await;
        assert!(text.is_empty(), "{text}");
        Ok::<_, PyErr>(())
    })
}

/// A coroutine that awaits `awaitable`.
#[pyfunction]
pub(crate) fn awaited(py: Python<'_>, awaitable: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async move { await_py(awaitable).await })
}

/// A task that awaits a task that awaits `awaitable`.
#[pyfunction]
pub(crate) fn nested(py: Python<'_>, awaitable: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move {
        let inner = Python::attach(|py| spawn_local(py, await_py(awaitable)).map(Bound::unbind))?;
        await_py(inner).await
    })
}

/// A coroutine that awaits two awaitables at the same time and returns both results.
#[pyfunction]
pub(crate) fn both(py: Python<'_>, left: Py<PyAny>, right: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async move {
        let (mut left, mut right) = (pin!(await_py(left)), pin!(await_py(right)));
        let (mut left_result, mut right_result) = (None, None);
        poll_fn(|context| {
            if left_result.is_none()
                && let Poll::Ready(result) = left.as_mut().poll(context)
            {
                left_result = Some(result?);
            }
            if right_result.is_none()
                && let Poll::Ready(result) = right.as_mut().poll(context)
            {
                right_result = Some(result?);
            }
            match (left_result.take(), right_result.take()) {
                (Some(left), Some(right)) => Poll::Ready(Ok::<_, PyErr>((left, right))),
                (left, right) => {
                    (left_result, right_result) = (left, right);
                    Poll::Pending
                }
            }
        })
        .await
    })
}

/// A coroutine that returns the result of the awaitable that is done first, and cancels the other.
#[pyfunction]
pub(crate) fn first(py: Python<'_>, left: Py<PyAny>, right: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, race(await_py(left), await_py(right)))
}

/// A coroutine that awaits `awaitable`, cancels it after `seconds`, and then returns None.
#[pyfunction]
pub(crate) fn cancelled_after(py: Python<'_>, seconds: f64, awaitable: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async move {
        let result = async { await_py(awaitable).await.map(Some) };
        let timer = async {
            sleep(Duration::from_secs_f64(seconds)).await;
            Ok(None)
        };
        race(result, timer).await
    })
}

/// The outcome of the future that is ready first. The other is dropped.
async fn race<R>(left: impl Future<Output = R>, right: impl Future<Output = R>) -> R {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| match left.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => right.as_mut().poll(context),
    })
    .await
}

/// Calls a function when it is dropped.
struct Witness {
    name: String,
    on_drop: Py<PyAny>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            if let Err(error) = self.on_drop.call1(py, (&self.name,)) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// A task that never ends; when its future is dropped, calls `on_drop(name)`.
#[pyfunction]
pub(crate) fn idle(py: Python<'_>, name: String, on_drop: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let witness = Witness { name, on_drop };
    spawn_local(py, async move {
        pending::<()>().await;
        drop(witness);
        Ok::<_, PyErr>(())
    })
}

/// A coroutine that sends a byte through a pair of sockets, and returns what it receives.
#[pyfunction]
pub(crate) fn through_sockets(py: Python<'_>, byte: u8) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async move {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let (near, far) = Python::attach(|py| Ok::<_, PyErr>((AsyncFd::new(py, near)?, AsyncFd::new(py, far)?)))?;
        let mut reading = pin!(near.read_with(|mut near| {
            let mut buffer = [0];
            near.read(&mut buffer).map(|count| buffer[..count].to_vec())
        }));
        // So that it waits before there is anything to read.
        let early = poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(outcome) = early.await {
            return outcome;
        }
        far.write_with(|mut far| far.write(&[byte])).await?;
        reading.await
    })
}

/// A gate at which tasks wait.
#[pyclass(frozen)]
pub(crate) struct Gate {
    notify: Arc<Notify>,
}

#[pymethods]
impl Gate {
    #[new]
    fn new() -> Self {
        Self { notify: Arc::new(Notify::new()) }
    }

    /// A task that waits at the gate.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let notify = Arc::clone(&self.notify);
        spawn_local(py, async move {
            notify.notified().await;
            Ok::<_, PyErr>(())
        })
    }

    /// Lets one task pass, or the next that comes.
    fn open_for_one(&self) {
        self.notify.notify_one();
    }

    /// Lets all tasks pass that wait.
    fn open_for_all(&self) {
        self.notify.notify_waiters();
    }

    /// Lets one task pass, from another thread, without the interpreter's lock.
    fn open_from_thread(&self) {
        let notify = Arc::clone(&self.notify);
        drop(thread::spawn(move || notify.notify_one()));
    }
}

/// A coroutine that runs `function` on a thread of Rust.
#[pyfunction]
pub(crate) fn in_thread(py: Python<'_>, function: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, run_blocking(move || Python::attach(|py| function.call0(py))))
}

/// A task that adds up what `count` threads compute.
#[pyfunction]
pub(crate) fn thread_results(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyAny>> {
    spawn_local(py, async move {
        let total = Rc::new(RefCell::new(0));
        let mut threads: Vec<Pin<Box<dyn Future<Output = u64>>>> = Vec::new();
        for number in 0..count {
            threads.push(Box::pin(run_blocking(move || number)));
        }
        poll_fn(|context| {
            threads.retain_mut(|worker| match worker.as_mut().poll(context) {
                Poll::Ready(number) => {
                    *total.borrow_mut() += number;
                    false
                }
                Poll::Pending => true,
            });
            if threads.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok::<_, PyErr>(total.take())
    })
}

/// Calls `function` with each number below `count`, on the loop; another thread asks for that.
#[pyfunction]
pub(crate) fn run_in_turn(py: Python<'_>, count: u64, function: Py<PyAny>) -> PyResult<()> {
    let handle = Handle::current(py)?;
    let function = Arc::new(function);
    UNSENT.fetch_add(count, Ordering::Relaxed);
    thread::spawn(move || {
        for number in 0..count {
            let function = Arc::clone(&function);
            // Fails if the loop is closed, and then nobody waits for it.
            let _ = handle.run(move |py| function.call1(py, (number,)).map(drop));
            UNSENT.fetch_sub(1, Ordering::Release);
        }
    });
    Ok(())
}

/// Calls that threads of `run_in_turn` have not sent yet.
static UNSENT: AtomicU64 = AtomicU64::new(0);

/// How many calls threads of `run_in_turn` have still to send.
#[pyfunction]
pub(crate) fn unsent() -> u64 {
    UNSENT.load(Ordering::Acquire)
}
