//! The I/O driver: the poller, the registrations and their handlers.
//!
//! Invariant: the poller watches exactly what the registrations say. If a descriptor was closed and its number reused,
//! the poller does not know the number or knows it by another entry; it then refuses the change, and the driver adds
//! instead of modifying, or modifies instead of adding. In a child made by `fork` the poller is the parent's until the
//! first use; the child then creates its own and registers everything with it. The parent's registrations are not
//! touched.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ferrio_cpython::{GilCell, GilFlag, LoopBase};
use ferrio_engine::{
    Change, Occupied, PollPolicy, PollerEntry, Registered, Registrations, Removed, Role, SpinPolicy, Trigger,
};
use ferrio_sys::{Events, Interest, Mode, Poller, Readiness, Token, Waker, poller};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::event_loop::activity::Activity;
use crate::event_loop::bells::Bells;
use crate::event_loop::end_of_callback::EndOfCallback;
use crate::event_loop::end_of_turn::EndOfTurn;
use crate::event_loop::exception_handler;
use crate::event_loop::handler::Handler;
use crate::event_loop::readers::Files;
use crate::event_loop::recording::Tape;

/// The token of the waker's descriptor.
pub(crate) const WAKER: Token = Token(u64::MAX);

/// Maximum number of events per poll.
const EVENTS_PER_POLL: usize = 512;

/// Size in bytes of the buffer that all transports of a loop receive into.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The loop's I/O: its poller, its registrations and their buffers.
pub(crate) struct Io {
    /// None once the loop is closed.
    poller: GilCell<Option<Arc<Poller>>>,
    /// Whether the poller watches the waker.
    waker_watched: GilFlag,
    pub(crate) registrations: GilCell<Registrations<Handler>>,
    pub(crate) files: Files,
    /// What threads without the GIL have the loop call.
    pub(crate) bells: Bells,
    /// Created for the first poll; taken out while a poll fills it.
    events: GilCell<Option<Events>>,
    policy: GilCell<PollPolicy>,
    spin: GilCell<SpinPolicy>,
    /// Allocated at the first receive; taken out while a receive fills it.
    receive_buffer: GilCell<Option<Box<[u8]>>>,
    pub(crate) activity: Activity,
    /// What runs when the current turn ends.
    pub(crate) end_of_turn: EndOfTurn,
    /// What runs when the current callback ends.
    pub(crate) end_of_callback: EndOfCallback,
    /// What notes, or gives, the system's answers.
    pub(crate) tape: Tape,
}

impl Io {
    pub(crate) fn new() -> PyResult<Self> {
        let poller = Poller::new().map_err(|error| exception_handler::from_io(&error))?;
        Ok(Self {
            poller: GilCell::new(Some(Arc::new(poller))),
            waker_watched: GilFlag::default(),
            registrations: GilCell::new(Registrations::new()),
            files: Files::default(),
            bells: Bells::default(),
            events: GilCell::new(None),
            policy: GilCell::new(PollPolicy::new()),
            spin: GilCell::new(SpinPolicy::new(processors())),
            receive_buffer: GilCell::new(None),
            activity: Activity::default(),
            end_of_turn: EndOfTurn::default(),
            end_of_callback: EndOfCallback::default(),
            tape: Tape::default(),
        })
    }

    /// The poller; None if the loop is closed. It may be the parent process's, which this process must not use.
    pub(crate) fn poller(&self, py: Python<'_>) -> Option<Arc<Poller>> {
        self.poller.with(py, |poller| poller.clone())
    }

    /// This process's own poller; None if the loop is closed.
    ///
    /// # Errors
    /// The system's, if a forked child cannot create its own poller.
    pub(crate) fn own_poller(&self, py: Python<'_>) -> io::Result<Option<Arc<Poller>>> {
        match self.poller(py) {
            Some(poller) if poller.is_inherited() => self.replace_inherited(py).map(Some),
            poller => Ok(poller),
        }
    }

    #[cold]
    fn replace_inherited(&self, py: Python<'_>) -> io::Result<Arc<Poller>> {
        let poller = Arc::new(Poller::new()?);
        if let Some(fd) = poller.descriptor() {
            self.claim_number(py, fd);
        }
        for (fd, entry) in self.registrations.with(py, |registrations| registrations.poller_entries()) {
            match add(&poller, fd, entry) {
                // The descriptor was closed, or its number is another file's: the parent's poller would not report it
                // either.
                Err(error) if poller::is_unwatchable(&error) => {}
                outcome => outcome?,
            }
        }
        self.waker_watched.set(false);
        // Unless dropping a handler has closed the loop.
        let inherited =
            self.poller.with(py, |place| place.as_mut().map(|place| std::mem::replace(place, Arc::clone(&poller))));
        drop(inherited);
        Ok(poller)
    }

    /// Creates the waker if there is none yet; returns the descriptor for `signal.set_wakeup_fd`, None on a closed
    /// loop.
    pub(crate) fn ensure_waker(&self, py: Python<'_>, base: &LoopBase) -> PyResult<Option<RawFd>> {
        let usable = |waker: &Waker| !waker.is_inherited() && self.waker_watched.get();
        let known =
            base.waker.with(py, |waker| waker.as_ref().filter(|waker| usable(waker)).map(|waker| waker.write_fd()));
        if known.is_some() {
            return Ok(known);
        }
        self.make_waker(py, base).map_err(|error| exception_handler::from_io(&error))
    }

    #[cold]
    fn make_waker(&self, py: Python<'_>, base: &LoopBase) -> io::Result<Option<RawFd>> {
        let Some(poller) = self.own_poller(py)? else { return Ok(None) };
        renew_waker(py, base)?;
        let ends = |waker: &Waker| (waker.read_fd(), waker.write_fd());
        let known = base.waker.with(py, |waker| waker.as_ref().map(|waker| ends(waker)));
        let (reader, writer) = if let Some(known) = known {
            known
        } else {
            let waker = Waker::new()?;
            let (reader, writer) = ends(&waker);
            base.waker.with(py, |place| *place = Some(Arc::new(waker)));
            self.claim_number(py, reader);
            self.claim_number(py, writer);
            (reader, writer)
        };
        if !self.waker_watched.get() {
            poller.add(reader, WAKER, Interest::READABLE, Mode::Level)?;
            self.waker_watched.set(true);
        }
        Ok(Some(writer))
    }

    /// Removes what is registered for the number of a descriptor that ferrio has just opened. It belongs to a file that
    /// was closed without being unregistered, and its owner must not unregister the new descriptor later.
    fn claim_number(&self, py: Python<'_>, fd: RawFd) {
        let forgotten = self.registrations.with(py, |registrations| registrations.take(fd));
        drop(forgotten);
    }

    /// Whether this turn polls, according to the poll policy.
    pub(crate) fn must_poll(&self, py: Python<'_>, ready_is_empty: bool, stopping: bool) -> bool {
        let watched = self.registrations.with(py, |registrations| registrations.count()) + 1;
        self.policy.with(py, |policy| policy.must_poll(ready_is_empty, stopping, watched, ferrio_sys::clock::monotonic))
    }

    pub(crate) fn begin_run(&self, py: Python<'_>) {
        self.policy.with(py, PollPolicy::begin_run);
    }

    /// Forces a poll next turn: a caller depends on seeing I/O that is already pending.
    pub(crate) fn poll_next(&self, py: Python<'_>) {
        self.policy.with(py, PollPolicy::begin_run);
    }

    pub(crate) fn polled(&self, py: Python<'_>, found_events: bool) {
        self.policy.with(py, |policy| policy.polled(ferrio_sys::clock::monotonic(), found_events));
    }

    /// Nanoseconds to spin for work from other threads before a sleep of at most `timeout`.
    pub(crate) fn spin_time(&self, py: Python<'_>, timeout: Option<Duration>) -> u64 {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.spin.with(py, |spin| spin.time(timeout))
    }

    /// Records a sleep of `nanoseconds`, and whether another thread ended it.
    pub(crate) fn record_sleep(&self, py: Python<'_>, nanoseconds: u64, called: bool) {
        self.spin.with(py, |spin| spin.record_sleep(nanoseconds, called));
    }

    pub(crate) fn take_events(&self, py: Python<'_>) -> Events {
        let events = self.events.with(py, Option::take);
        events.unwrap_or_else(|| Events::with_capacity(EVENTS_PER_POLL))
    }

    pub(crate) fn put_events(&self, py: Python<'_>, events: Events) {
        self.events.with(py, |place| *place = Some(events));
    }

    /// Lends the receive buffer. `fill` must not run Python code.
    #[inline]
    pub(crate) fn with_receive_buffer<R>(&self, py: Python<'_>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        self.receive_buffer
            .with(py, |buffer| fill(buffer.get_or_insert_with(|| vec![0; RECEIVE_BUFFER].into_boxed_slice())))
    }

    /// Queues the handlers of an event, at most two; the caller has reserved space for them.
    #[inline]
    pub(crate) fn dispatch(&self, py: Python<'_>, base: &LoopBase, token: Token, readiness: Readiness) {
        let (reads, writes) = (readiness.wakes_reader(), readiness.wakes_writer());
        let (runnables, change, fired) = self.registrations.with(py, |registrations| {
            let nothing = ([None, None], Change::None, [None, None]);
            let Some(entry) = registrations.lookup(token.0) else { return nothing };
            if let Some(stream) = entry.stream() {
                return ([stream.runnable(py, readiness), None], Change::None, [None, None]);
            }
            let reading = entry.reader().filter(|_| reads).and_then(|handler| handler.runnable(py, readiness));
            let writing = entry.writer().filter(|_| writes).and_then(|handler| handler.runnable(py, readiness));
            if !entry.awaits_once() {
                return ([reading, writing], Change::None, [None, None]);
            }
            let (change, fired) = registrations.fire(token.0, reads, writes);
            ([reading, writing], change, fired)
        });
        if change != Change::None {
            // Fails only if a descriptor was closed while it was being waited for; there is nothing to report it to.
            let _ = self.update_poller(py, descriptor_of(token), change);
        }
        for runnable in runnables.into_iter().flatten() {
            base.push_reserved(py, runnable);
        }
        drop(fired);
    }

    /// Registers `handler` for `fd`; returns the handlers that it replaces.
    ///
    /// # Errors
    /// The poller's refusal: `PermissionError` for regular files, `OSError` for bad descriptors. Nothing is
    /// registered then.
    pub(crate) fn register(&self, py: Python<'_>, fd: RawFd, role: Role, handler: Handler) -> PyResult<Vec<Handler>> {
        let outcome = self.registrations.with(py, |registrations| match role {
            Role::Reader => registrations.set_reader(fd, handler),
            Role::Writer => registrations.set_writer(fd, handler),
            Role::Stream => Ok(registrations.set_stream(fd, handler)),
        });
        self.carry_out(py, fd, role, outcome)
    }

    /// Registers `handler` for the next event of `fd` only; see `register`.
    ///
    /// # Errors
    /// The same as for `register`.
    pub(crate) fn wait(&self, py: Python<'_>, fd: RawFd, role: Role, handler: Handler) -> PyResult<Vec<Handler>> {
        let outcome = self.registrations.with(py, |registrations| registrations.wait(fd, role, handler));
        self.carry_out(py, fd, role, outcome)
    }

    fn carry_out(
        &self,
        py: Python<'_>,
        fd: RawFd,
        role: Role,
        outcome: Result<Registered<Handler>, Occupied<Handler>>,
    ) -> PyResult<Vec<Handler>> {
        let Registered { change, replaced } = match outcome {
            Ok(registered) => self.rearm_after_replace(py, fd, registered),
            Err(occupied) => {
                drop(occupied);
                return Err(exception_handler::from_io(&io::Error::from(io::ErrorKind::ResourceBusy)));
            }
        };
        if let Err(refusal) = self.update_poller(py, fd, change) {
            let handler = self.registrations.with(py, |registrations| registrations.roll_back(fd, role));
            drop(handler);
            return Err(exception_handler::from_io(&refusal));
        }
        if self.tape.is_on() {
            self.tape.note_registration(py, fd);
        }
        Ok(replaced.into_iter().flatten().collect())
    }

    /// Re-arms the poller when one handler replaces another: the number may have been closed and reused by another
    /// file.
    fn rearm_after_replace(&self, py: Python<'_>, fd: RawFd, registered: Registered<Handler>) -> Registered<Handler> {
        let Registered { change: Change::None, replaced: [Some(_), None] } = &registered else {
            return registered;
        };
        let entry = self.registrations.with(py, |registrations| registrations.poller_entry(fd));
        Registered { change: entry.map_or(Change::None, Change::Modify), ..registered }
    }

    /// Replaces the handler of a registered stream; returns the old one, or `handler` itself if nothing is registered.
    pub(crate) fn exchange_stream(&self, py: Python<'_>, fd: RawFd, handler: Handler) -> Handler {
        self.registrations.with(py, |registrations| match registrations.stream_mut(fd) {
            Some(place) => std::mem::replace(place, handler),
            None => handler,
        })
    }

    /// Removes a registration; returns its handler.
    pub(crate) fn unregister(&self, py: Python<'_>, fd: RawFd, role: Role) -> Option<Handler> {
        let Removed { change, handler } = self.registrations.with(py, |registrations| match role {
            Role::Reader => registrations.remove_reader(fd),
            Role::Writer => registrations.remove_writer(fd),
            Role::Stream => registrations.remove_stream(fd),
        });
        // The poller does not know a descriptor that was closed before: there is nothing left to undo.
        let _ = self.update_poller(py, fd, change);
        handler
    }

    fn update_poller(&self, py: Python<'_>, fd: RawFd, change: Change) -> io::Result<()> {
        if change == Change::None {
            return Ok(());
        }
        let poller = if change == Change::Remove { self.poller(py) } else { self.own_poller(py)? };
        let Some(poller) = poller else { return Ok(()) };
        match change {
            Change::None => Ok(()),
            // With an inherited poller there is nothing to remove: its replacement will not get this descriptor.
            Change::Remove => poller.remove(fd),
            Change::Add(entry) => match add(&poller, fd, entry) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => modify(&poller, fd, entry),
                outcome => outcome,
            },
            Change::Modify(entry) => match modify(&poller, fd, entry) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => add(&poller, fd, entry),
                outcome => outcome,
            },
        }
    }

    /// Closes the poller and drops all handlers.
    pub(crate) fn close(&self, py: Python<'_>) {
        let poller = self.poller.with(py, Option::take);
        drop(poller);
        self.clear(py);
        let buffer = self.receive_buffer.with(py, Option::take);
        drop(buffer);
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        let handlers = self.registrations.with(py, Registrations::take_all);
        drop(handlers);
        self.bells.clear(py);
        self.files.clear(py);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.registrations.traverse(visit, |registrations| {
            registrations.handlers().try_for_each(|handler| match handler {
                Handler::Callback(handle) => handle.traverse(visit),
                Handler::Native(target, _) | Handler::Transport(target, _) => visit.call(target),
                Handler::Weak(target, _) => visit.call(target),
            })
        });
        outcome.transpose()?;
        self.bells.traverse(visit)?;
        self.files.traverse(visit)
    }
}

/// The descriptor of a token that is not the waker's.
pub(crate) fn descriptor_of(token: Token) -> RawFd {
    Registrations::<Handler>::descriptor(token.0)
}

/// In a child made by `fork`: makes the waker's descriptor numbers refer to a new pipe of this process.
pub(crate) fn renew_waker(py: Python<'_>, base: &LoopBase) -> io::Result<()> {
    base.waker.with(py, |waker| match waker {
        Some(waker) if waker.is_inherited() => waker.renew(),
        _ => Ok(()),
    })
}

/// The number of processors that the process may use. Computed once, because the answer is read from files.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn add(poller: &Poller, fd: RawFd, entry: PollerEntry) -> io::Result<()> {
    poller.add(fd, Token(entry.token), interest(entry), mode(entry))
}

fn modify(poller: &Poller, fd: RawFd, entry: PollerEntry) -> io::Result<()> {
    poller.modify(fd, Token(entry.token), interest(entry), mode(entry))
}

fn interest(entry: PollerEntry) -> Interest {
    let mut interest = Interest::NONE;
    if entry.interest.contains(ferrio_engine::Interest::READABLE) {
        interest = interest | Interest::READABLE;
    }
    if entry.interest.contains(ferrio_engine::Interest::WRITABLE) {
        interest = interest | Interest::WRITABLE;
    }
    interest
}

fn mode(entry: PollerEntry) -> Mode {
    match entry.trigger {
        Trigger::Level => Mode::Level,
        Trigger::Edge => Mode::Edge,
        Trigger::Once => Mode::Once,
    }
}
