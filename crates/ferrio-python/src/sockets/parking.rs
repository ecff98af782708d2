//! Standing registrations: a socket that was waited for stays with the poller, by edge, until it is closed or its
//! descriptor is wanted for something else. Waiting again then costs no call to the poller (benchmark `sock_1k_c10`).
//!
//! Invariants: the registration holds its socket weakly and counts for that very object alone, for a number that was
//! closed may come back as another file's. Who waits has just been refused by the system, so that the next edge is news;
//! an edge wakes all who wait, and each tries again. Whoever else wants the descriptor gets it (`Io::register`).

use std::collections::VecDeque;
use std::os::fd::RawFd;

use ferrio_cpython::GilCell;
use ferrio_engine::Role;
use ferrio_sys::{Interest, Readiness};
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use super::waiting::refuse_watching;
use crate::event_loop::Loop;
use crate::io::Handler;
use crate::transports::stream::wake_waiter;

type Waiters = GilCell<VecDeque<Py<PyAny>>>;

/// The standing registration of a socket.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Parked {
    socket: Py<PyWeakrefReference>,
    /// Futures, some perhaps cancelled.
    readers: Waiters,
    writers: Waiters,
}

/// Who has a descriptor.
enum Holder<'py> {
    Nobody,
    /// This socket's standing registration.
    Us(Bound<'py, Parked>),
    /// A user's callback or a transport.
    Other,
}

#[pymethods]
impl Parked {
    /// Asked like a transport whether its descriptor is still in use: it never keeps it from others.
    #[expect(clippy::unused_self, reason = "a method, as transports have it")]
    fn is_closing(&self) -> bool {
        true
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for waiters in [&self.readers, &self.writers] {
            let all = waiters.traverse(&visit, |waiters| waiters.iter().try_for_each(|future| visit.call(future)));
            all.transpose()?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        for waiters in [&self.readers, &self.writers] {
            let waiters = waiters.with(py, std::mem::take);
            drop(waiters);
        }
    }
}

impl Parked {
    fn waiters(&self, role: Role) -> &Waiters {
        if role == Role::Writer { &self.writers } else { &self.readers }
    }

    /// Makes room for somebody who registers for `role`. Who waited for the same is forgotten, as asyncio forgets a
    /// reader when another one takes its place; who waited for the other direction tries again.
    pub(crate) fn evict(&self, py: Python<'_>, role: Role) -> PyResult<()> {
        self.forget(py, role);
        let other = if role == Role::Writer { Role::Reader } else { Role::Writer };
        wake(py, self.waiters(other))
    }

    /// Forgets who waits for `role`; tells whether somebody did.
    pub(crate) fn forget(&self, py: Python<'_>, role: Role) -> bool {
        let waiters = self.waiters(role).with(py, std::mem::take);
        !waiters.is_empty()
    }
}

/// A future among the waiters; taken out again when this is dropped.
pub(super) struct Place {
    parked: Py<Parked>,
    role: Role,
    future: Py<PyAny>,
}

/// Lets `future` wait for the socket; None if the descriptor is somebody else's.
///
/// # Errors
/// What the poller refuses.
pub(super) fn wait<'py>(
    slf: &Bound<'py, Loop>,
    sock: &Bound<'py, PyAny>,
    fd: RawFd,
    role: Role,
    future: &Bound<'py, PyAny>,
) -> PyResult<Option<Place>> {
    let py = slf.py();
    let io = &slf.get().io;
    let parked = match holder(slf, sock, fd) {
        Holder::Us(parked) => {
            if let Some(poller) = io.poller(py) {
                let interest = if role == Role::Writer { Interest::WRITABLE } else { Interest::READABLE };
                poller.drained(fd, interest);
            }
            parked
        }
        Holder::Nobody => {
            refuse_watching(slf, fd)?;
            let socket = PyWeakrefReference::new(sock)?.unbind();
            let parked = Bound::new(py, Parked { socket, readers: Waiters::default(), writers: Waiters::default() })?;
            for replaced in io.register(py, fd, Role::Stream, Handler::native(&parked, on_event))? {
                replaced.retire(py)?;
            }
            parked
        }
        Holder::Other => return Ok(None),
    };
    parked.get().waiters(role).with(py, |waiters| waiters.push_back(future.clone().unbind()));
    Ok(Some(Place { parked: parked.unbind(), role, future: future.clone().unbind() }))
}

/// The standing registration of `fd`, if there is one.
pub(crate) fn parked<'py>(slf: &Bound<'py, Loop>, fd: RawFd) -> Option<Bound<'py, Parked>> {
    let py = slf.py();
    let target = slf.get().io.registrations.with(py, |registrations| match registrations.get(fd)?.stream()? {
        Handler::Native(target, _) => Some(target.clone_ref(py)),
        Handler::Callback(_) => None,
    });
    target?.into_bound(py).cast_into().ok()
}

fn holder<'py>(slf: &Bound<'py, Loop>, sock: &Bound<'py, PyAny>, fd: RawFd) -> Holder<'py> {
    let py = slf.py();
    let target = slf.get().io.registrations.with(py, |registrations| {
        let entry = registrations.get(fd)?;
        match entry.stream() {
            Some(Handler::Native(target, _)) => Some(Some(target.clone_ref(py))),
            Some(Handler::Callback(_)) | None => Some(None),
        }
    });
    let Some(target) = target else { return Holder::Nobody };
    match target.map(|target| target.into_bound(py).cast_into::<Parked>()) {
        Some(Ok(parked)) => {
            let same = parked.get().socket.bind(py).upgrade().is_some_and(|socket| socket.is(sock));
            if same { Holder::Us(parked) } else { Holder::Nobody }
        }
        Some(Err(_)) | None => Holder::Other,
    }
}

/// The poller reports an edge.
fn on_event(object: &Bound<'_, PyAny>, bits: u32) -> PyResult<()> {
    let parked = object.cast::<Parked>()?.get();
    let readiness = Readiness::from_bits(bits);
    if readiness.wakes_reader() {
        wake(object.py(), &parked.readers)?;
    }
    if readiness.wakes_writer() {
        wake(object.py(), &parked.writers)?;
    }
    Ok(())
}

fn wake(py: Python<'_>, waiters: &Waiters) -> PyResult<()> {
    for _ in 0..waiters.with(py, |waiters| waiters.len()) {
        let Some(future) = waiters.with(py, VecDeque::pop_front) else { break };
        wake_waiter(future.bind(py), 0)?;
    }
    Ok(())
}

impl Place {
    /// The future to wait for.
    pub(super) fn future(&self) -> &Py<PyAny> {
        &self.future
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let waiters = self.parked.get().waiters(self.role);
            let ours = waiters.with(py, |waiters| {
                let position = waiters.iter().position(|future| future.is(&self.future))?;
                waiters.remove(position)
            });
            drop(ours);
        });
    }
}
