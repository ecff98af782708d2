//! A descriptor that the running loop watches.
//!
//! The loop keeps watching a direction while operations keep waiting for it, and stops when it reports one that nobody
//! waits for: a peer that asks and answers in turn costs no system call but its own.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::native;
use crate::panics::{caught, for_python, report_unraisable, wake_all};

/// Watches the descriptor of `T` by the loop's `add_reader` and `add_writer`.
///
/// Operations are tried first, and wait if they fail with `WouldBlock`; the descriptor has to be non-blocking. It
/// belongs to the loop that runs when it is made, which watches it for this object alone.
///
/// ```no_run
/// use std::io::Read;
/// use std::net::TcpStream;
///
/// use ferrio_bridge::AsyncFd;
/// use pyo3::prelude::*;
///
/// async fn read_some(stream: TcpStream) -> PyResult<Vec<u8>> {
///     stream.set_nonblocking(true)?;
///     let stream = Python::attach(|py| AsyncFd::new(py, stream))?;
///     let mut buffer = [0; 4096];
///     let count = stream.read_with(|mut stream| stream.read(&mut buffer)).await?;
///     Ok(buffer[..count].to_vec())
/// }
/// ```
pub struct AsyncFd<T: AsFd> {
    watch: Watch,
    // Closed after the loop has stopped watching it.
    io: T,
}

struct Watch {
    event_loop: Py<PyAny>,
    descriptor: i32,
    readable: Arc<Direction>,
    writable: Arc<Direction>,
}

/// One of the two directions.
struct Direction {
    kind: Kind,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum Kind {
    Reader,
    Writer,
}

#[derive(Default)]
struct State {
    is_watched: bool,
    waiting: Vec<Waker>,
}

/// What the loop calls when the descriptor is ready.
#[pyclass(frozen, module = "ferrio_bridge")]
struct ReadyCallback {
    direction: Arc<Direction>,
    event_loop: Py<PyAny>,
    descriptor: i32,
}

impl<T: AsFd> AsyncFd<T> {
    /// Lets the running loop watch `io` whenever an operation has to wait.
    ///
    /// # Errors
    /// `RuntimeError` if no event loop runs on this thread.
    pub fn new(py: Python<'_>, io: T) -> PyResult<Self> {
        let event_loop = native::running_loop(py)?.unbind();
        let descriptor = io.as_fd().as_raw_fd();
        let direction = |kind| Arc::new(Direction { kind, state: Mutex::default() });
        let (readable, writable) = (direction(Kind::Reader), direction(Kind::Writer));
        Ok(Self { watch: Watch { event_loop, descriptor, readable, writable }, io })
    }

    /// What it watches.
    pub const fn io(&self) -> &T {
        &self.io
    }

    /// Tries `operation`, which reads, until it does not fail with `WouldBlock`.
    ///
    /// # Errors
    /// Any error of `operation` or of the loop's `add_reader`.
    pub async fn read_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> PyResult<R> {
        poll_fn(|context| self.watch.poll(&self.watch.readable, context, || operation(&self.io))).await
    }

    /// Tries `operation`, which writes, until it does not fail with `WouldBlock`.
    ///
    /// # Errors
    /// Any error of `operation` or of the loop's `add_writer`.
    pub async fn write_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> PyResult<R> {
        poll_fn(|context| self.watch.poll(&self.watch.writable, context, || operation(&self.io))).await
    }
}

impl<T: AsFd> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AsyncFd").field("descriptor", &self.watch.descriptor).finish_non_exhaustive()
    }
}

impl Watch {
    fn poll<R>(
        &self,
        direction: &Arc<Direction>,
        context: &Context<'_>,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> Poll<PyResult<R>> {
        loop {
            match operation() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome.map_err(PyErr::from)),
            }
        }
        match Python::attach(|py| self.wait(py, direction, context.waker())) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn wait(&self, py: Python<'_>, direction: &Arc<Direction>, waker: &Waker) -> PyResult<()> {
        let was_watched = {
            let mut state = direction.lock();
            if !state.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
                state.waiting.push(waker.clone());
            }
            std::mem::replace(&mut state.is_watched, true)
        };
        if was_watched {
            return Ok(());
        }
        let callback = ReadyCallback {
            direction: Arc::clone(direction),
            event_loop: self.event_loop.clone_ref(py),
            descriptor: self.descriptor,
        };
        let arguments = (self.descriptor, Bound::new(py, callback)?);
        let added = self.event_loop.bind(py).call_method1(direction.kind.method_to_add(py), arguments);
        added.map(drop).inspect_err(|_| direction.lock().is_watched = false)
    }
}

impl Direction {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, event_loop: &Bound<'_, PyAny>, descriptor: i32) -> PyResult<()> {
        if std::mem::take(&mut self.lock().is_watched) {
            event_loop.call_method1(self.kind.method_to_remove(event_loop.py()), (descriptor,))?;
        }
        Ok(())
    }
}

impl Kind {
    fn method_to_add(self, py: Python<'_>) -> &Bound<'_, PyString> {
        match self {
            Self::Reader => intern!(py, "add_reader"),
            Self::Writer => intern!(py, "add_writer"),
        }
    }

    fn method_to_remove(self, py: Python<'_>) -> &Bound<'_, PyString> {
        match self {
            Self::Reader => intern!(py, "remove_reader"),
            Self::Writer => intern!(py, "remove_writer"),
        }
    }
}

#[pymethods]
impl ReadyCallback {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let waiting = std::mem::take(&mut self.direction.lock().waiting);
        for_python(py, || {
            if waiting.is_empty() {
                return self.direction.stop(self.event_loop.bind(py), self.descriptor);
            }
            caught(|| wake_all(waiting))
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // None at the interpreter's end, when the loop watches nothing any more.
        Python::try_attach(|py| {
            let event_loop = self.event_loop.bind(py);
            for direction in [&self.readable, &self.writable] {
                if let Err(error) = for_python(py, || direction.stop(event_loop, self.descriptor)) {
                    report_unraisable(py, error, Some(event_loop));
                }
            }
        });
    }
}
