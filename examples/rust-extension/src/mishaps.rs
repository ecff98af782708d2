//! Code that panics, wherever code of an extension can run: a task, the loop and the process survive it.

use std::future::{Future, pending, poll_fn};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use ferrio_bridge::{AsyncFd, Handle, await_py, sleep, spawn_local, yield_now};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        // A second panic would end the process, by the rules of the language.
        assert!(thread::panicking(), "in a destructor");
    }
}

/// Ready at once; panics when it is dropped after that.
struct FragileFuture(Fragile);

impl Future for FragileFuture {
    type Output = PyResult<i32>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self(Fragile) = &*self;
        Poll::Ready(Ok(1))
    }
}

/// Panics when it wakes someone.
struct BrokenWaker;

impl Wake for BrokenWaker {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

/// Panics when it is freed.
struct FragileWaker(Fragile);

impl Wake for FragileWaker {
    fn wake(self: Arc<Self>) {
        let Self(Fragile) = &*self;
    }
}

/// Polls `future` once with a waker, and then waits for ever.
async fn with_waker(future: impl Future, waker: Waker) {
    let mut future = pin!(future);
    poll_fn(|_| Poll::Ready(future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready())).await;
    drop(waker);
    pending::<()>().await;
}

/// A task in which there is a panic at `place`.
#[pyfunction]
pub(crate) fn panicking_in<'py>(py: Python<'py>, place: &str, awaitable: Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match place {
        "poll" => spawn_local(py, poll_fn(|_| -> Poll<PyResult<()>> { panic!("in a poll") })),
        "later poll" => spawn_local(py, async {
            yield_now().await;
            drop(Fragile);
            Ok::<_, PyErr>(())
        }),
        "drop of a finished future" => spawn_local(py, FragileFuture(Fragile)),
        "drop of a pending future" => spawn_local(py, async {
            let _fragile = Fragile;
            pending::<PyResult<()>>().await
        }),
        "drop while an exception is raised" => spawn_local(py, async move {
            let _fragile = Fragile;
            await_py(awaitable).await
        }),
        "waker of a sleep" => spawn_local(py, async {
            with_waker(sleep(Duration::ZERO), Waker::from(Arc::new(BrokenWaker))).await;
            Ok::<_, PyErr>(())
        }),
        "waker of an await" => spawn_local(py, async {
            with_waker(await_py(awaitable), Waker::from(Arc::new(BrokenWaker))).await;
            Ok::<_, PyErr>(())
        }),
        "drop of a waker" => spawn_local(py, async {
            with_waker(await_py(awaitable), Waker::from(Arc::new(FragileWaker(Fragile)))).await;
            Ok::<_, PyErr>(())
        }),
        "operation" => spawn_local(py, async {
            let (stream, _other) = UnixStream::pair()?;
            let stream = Python::attach(|py| AsyncFd::new(py, stream))?;
            stream.read_with(|_| -> std::io::Result<()> { panic!("in an operation") }).await
        }),
        "callback" => {
            let handle = Handle::current(py)?;
            spawn_local(py, async move {
                let _ = handle.run(|_| panic!("in a callback"));
                pending::<PyResult<()>>().await
            })
        }
        "drop of a callback" => {
            let handle = Handle::current(py)?;
            let fragile = Fragile;
            spawn_local(py, async move {
                let _ = handle.run(move |_| {
                    drop(fragile);
                    Ok(())
                });
                pending::<PyResult<()>>().await
            })
        }
        _ => Err(PyValueError::new_err("no such place")),
    }
}
