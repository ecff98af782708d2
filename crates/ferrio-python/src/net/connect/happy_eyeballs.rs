//! Parallel attempts (RFC 8305): the next one starts when the previous one has failed or a delay has passed; the first
//! that connects wins, and the others are closed. It has the effect of asyncio's `staggered_race` without a task for
//! each attempt: a pending connect runs no code, so one coroutine watches all sockets.

use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;
use ferrio_cpython::{GilCell, GilFlag, LoopBase};
use ferrio_engine::Role;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::async_block::{Channel, Owned};
use crate::common::close_guard::CloseGuard;
use crate::event_loop::Loop;
use crate::event_loop::exception_handler;
use crate::net::connect::attempt::{Failures, open};
use crate::net::sock::connect::{Progress, begin, descriptor, outcome};
use crate::net::sock::wait::Registration;
use crate::transports::endpoint::wake_waiter;

/// The handler that the loop calls when an attempt's socket is writable.
#[pyclass(frozen)]
pub(crate) struct Watch {
    decided: GilFlag,
    /// The future that the race waits for.
    waiter: GilCell<Option<Py<PyAny>>>,
}

#[pymethods]
impl Watch {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.waiter.traverse(&visit, |waiter| visit.call(waiter)).transpose().map(drop)
    }
}

/// A pending attempt. Fields are dropped in this order, so that the registration ends before the socket is closed.
struct Attempt {
    _registration: Registration,
    socket: CloseGuard,
    address: Py<PyAny>,
    watch: Owned<Watch>,
    number: usize,
}

/// The outcome of starting an attempt.
enum Started {
    Connected(Py<PyAny>),
    UnderWay,
    Failed,
}

/// The state of the race.
struct Race<'a> {
    this: &'a Py<Loop>,
    infos: std::vec::IntoIter<Py<PyAny>>,
    local: Option<&'a Py<PyAny>>,
    delay: f64,
    failures: &'a mut Failures,
    channel: &'a Channel,
    pending: Vec<Attempt>,
    /// When the next attempt starts, in the loop's time in seconds; None if there is no further one.
    next_at: Option<f64>,
}

/// Connects to the first address that answers; None if none does, with the `OSError`s in `failures`.
///
/// # Errors
/// Exceptions thrown into the coroutine, `SystemExit` and `KeyboardInterrupt`.
pub(crate) async fn race(
    this: &Py<Loop>,
    infos: Vec<Py<PyAny>>,
    local: Option<&Py<PyAny>>,
    delay: f64,
    failures: &mut Failures,
    channel: &Channel,
) -> PyResult<Option<Py<PyAny>>> {
    let infos = infos.into_iter();
    let mut race = Race { this, infos, local, delay, failures, channel, pending: Vec::new(), next_at: None };
    let mut start = true;
    loop {
        if start && let Some(winner) = Python::attach(|py| race.start_next(py))? {
            return Ok(Some(winner));
        }
        if race.pending.is_empty() && race.next_at.is_none() {
            return Ok(None);
        }
        let (future, timer) = Python::attach(|py| race.arm(py))?;
        channel.wait(future).await?;
        drop(timer);
        if let Some(winner) = Python::attach(|py| race.collect(py))? {
            return Ok(Some(winner));
        }
        start = Python::attach(|py| race.is_next_due(py))?;
    }
}

impl Race<'_> {
    /// Starts the next attempt, and immediately the one after it if it fails; returns the socket that connected.
    fn start_next(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.next_at = None;
        while let Some(info) = self.infos.next() {
            let number = self.failures.begin();
            let started = self.start(py, info.bind(py), number);
            match self.unless_failed(py, number, started)? {
                Started::Connected(sock) => return Ok(Some(sock)),
                Started::UnderWay => {
                    let more = self.infos.len() > 0;
                    self.next_at = if more { Some(self.now(py)? + self.delay) } else { None };
                    return Ok(None);
                }
                Started::Failed => {}
            }
        }
        Ok(None)
    }

    fn start(&mut self, py: Python<'_>, info: &Bound<'_, PyAny>, number: usize) -> PyResult<Started> {
        let (socket, address) = open(info, self.local, self.failures.of(number), py)?;
        if begin(self.this.bind(py), socket.bind(py), address.bind(py))? == Progress::Connected {
            return Ok(Started::Connected(socket.keep()));
        }
        let watch = Bound::new(py, Watch { decided: GilFlag::default(), waiter: GilCell::new(None) })?;
        let fd = descriptor(socket.bind(py))?;
        let target = watch.clone().into_any();
        let registration = Registration::new(self.this.bind(py), fd, Role::Writer, target, decide, self.channel)?;
        let watch = self.channel.own(watch.unbind());
        self.pending.push(Attempt { _registration: registration, socket, address, watch, number });
        Ok(Started::UnderWay)
    }

    /// Checks the sockets that became writable; returns the one that connected.
    fn collect(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        while let Some(position) = self.pending.iter().position(|attempt| attempt.watch.get().decided.get()) {
            let attempt = self.pending.remove(position);
            let number = attempt.number;
            let ended = outcome(self.this.bind(py), attempt.socket.bind(py), attempt.address.bind(py));
            let ended = ended.map(|()| Started::Connected(attempt.socket.keep()));
            match self.unless_failed(py, number, ended)? {
                Started::Connected(sock) => return Ok(Some(sock)),
                Started::UnderWay | Started::Failed => {
                    // Only a failure of the latest attempt starts the next one early.
                    if self.next_at.is_some() && number + 1 == self.failures.begun() {
                        self.next_at = Some(f64::NEG_INFINITY);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Turns an attempt's exception into a failure, except those that end the loop.
    fn unless_failed(&mut self, py: Python<'_>, number: usize, outcome: PyResult<Started>) -> PyResult<Started> {
        let Err(error) = outcome else { return outcome };
        if exception_handler::must_propagate(py, &error) {
            return Err(error);
        }
        // asyncio's race drops exceptions that are no `OSError`.
        drop(self.failures.note(py, number, error));
        Ok(Started::Failed)
    }

    /// Creates a future for the next event, and the timer of the next attempt.
    fn arm(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Option<Timer>)> {
        let owner = self.this.bind(py);
        let future = Loop::waiter(owner)?;
        for attempt in &self.pending {
            let waiter = Some(future.clone().unbind());
            let before = attempt.watch.get().waiter.with(py, |place| std::mem::replace(place, waiter));
            drop(before);
        }
        let timer = match self.next_at {
            Some(when) => {
                let wake = wrap_pyfunction!(wake, py)?;
                let handle = owner.call_method1(pyo3::intern!(py, "call_at"), (when, wake, &future))?;
                Some(Timer(self.channel.own(handle.unbind())))
            }
            None => None,
        };
        Ok((future.unbind(), timer))
    }

    fn is_next_due(&self, py: Python<'_>) -> PyResult<bool> {
        self.next_at.map_or(Ok(false), |when| Ok(self.now(py)? >= when))
    }

    fn now(&self, py: Python<'_>) -> PyResult<f64> {
        LoopBase::now(self.this.bind(py).as_super())
    }
}

/// A timer that is cancelled when this is dropped.
struct Timer(Owned<PyAny>);

impl Drop for Timer {
    fn drop(&mut self) {
        finalizing(|py| drop(memory::catch_no_memory(py, || self.0.call_method0(py, name!("cancel")))));
    }
}

/// Handles the event that a socket is writable.
fn decide(watch: &Bound<'_, PyAny>, arg: u32) -> PyResult<()> {
    let py = watch.py();
    let watch = watch.cast::<Watch>()?.get();
    watch.decided.set(true);
    match watch.waiter.with(py, Option::take) {
        Some(waiter) => wake_waiter(waiter.bind(py), arg),
        None => Ok(()),
    }
}

/// The delay has passed.
#[pyfunction]
fn wake(future: &Bound<'_, PyAny>) -> PyResult<()> {
    wake_waiter(future, 0)
}
