//! A runtime's state on its own thread, and its turns.
//!
//! Invariants: foreign code (a future, a destructor, a foreign waker) runs while nothing here is borrowed; a turn runs
//! what was ready when it began, so that timers and events get in between; a closed runtime accepts no tasks.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ferrio_engine::{Deadline, PollPolicy, ReadyQueue, Timers};
use ferrio_sys::clock;

use crate::error::Cancelled;

use super::call::Call;
use super::choices::Choices;
use super::io_driver::{self, IoDriver};
use super::slots::{Body, Slots};
use super::task_waker::{Key, Message, Shared};
use super::timer::Timer;

/// How many operations of I/O that do not wait a task may do in one step.
const BUDGET: u32 = 128;

/// The time that a runtime goes by, in nanoseconds.
pub(crate) enum Clock {
    System,
    /// Stands still while there is work, and jumps to the next deadline when there is none.
    Virtual(Cell<u64>),
}

/// One runtime.
pub(crate) struct Local {
    shared: Arc<Shared>,
    ready: RefCell<ReadyQueue<Key>>,
    slots: RefCell<Slots>,
    timers: RefCell<Timers<Rc<Timer>>>,
    /// Created when something is registered, or at the first wait.
    io: RefCell<Option<IoDriver>>,
    policy: RefCell<PollPolicy>,
    clock: Clock,
    /// Present in a run whose surroundings are chosen.
    choices: Option<Choices>,
    current: Cell<Option<Key>>,
    is_stopping: Cell<bool>,
    is_closed: Cell<bool>,
    /// Jobs on other threads, for which virtual time waits.
    jobs: Cell<usize>,
    /// How many more operations the running task may do without a wait, so that the others run too.
    budget: Cell<u32>,
    /// What the layers above keep for each runtime, one of a type.
    services: RefCell<Vec<Rc<dyn Any>>>,
}

impl Local {
    pub(crate) fn new(clock: Clock, choices: Option<Choices>) -> Rc<Self> {
        Rc::new(Self {
            shared: Arc::new(Shared::new()),
            ready: RefCell::new(ReadyQueue::new()),
            slots: RefCell::new(Slots::new()),
            timers: RefCell::new(Timers::new()),
            io: RefCell::new(None),
            policy: RefCell::new(PollPolicy::new()),
            clock,
            choices,
            current: Cell::new(None),
            is_stopping: Cell::new(false),
            is_closed: Cell::new(false),
            jobs: Cell::new(0),
            budget: Cell::new(BUDGET),
            services: RefCell::new(Vec::new()),
        })
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts a task behind all that are ready.
    #[inline]
    pub(crate) fn queue(&self, key: Key) {
        self.ready.borrow_mut().push(key);
    }

    /// Adds a task and queues it; returns the body if the runtime is closed.
    pub(crate) fn spawn(&self, body: Pin<Box<dyn Body>>) -> Result<Key, Pin<Box<dyn Body>>> {
        if self.is_closed.get() {
            return Err(body);
        }
        let key = self.slots.borrow_mut().insert(body, &self.shared);
        self.queue(key);
        Ok(key)
    }

    /// Requests that the task's future is dropped; false if the task is done.
    pub(crate) fn cancel(&self, key: Key, reason: Cancelled) -> bool {
        self.slots.borrow_mut().cancel(key, reason)
    }

    /// The tasks that are not done, in the order they were spawned.
    pub(crate) fn tasks(&self) -> Vec<Key> {
        self.slots.borrow().keys()
    }

    /// The task whose step runs.
    pub(crate) const fn current(&self) -> &Cell<Option<Key>> {
        &self.current
    }

    pub(crate) const fn stopping(&self) -> &Cell<bool> {
        &self.is_stopping
    }

    /// The choices of the run, if its surroundings are chosen.
    pub(crate) const fn choices(&self) -> Option<&Choices> {
        self.choices.as_ref()
    }

    pub(crate) const fn jobs(&self) -> &Cell<usize> {
        &self.jobs
    }

    /// Takes one of the operations that the running task may do without a wait; false if it has to let others run.
    pub(crate) fn spend(&self) -> bool {
        let budget = self.budget.get();
        self.budget.set(budget.saturating_sub(1));
        budget > 0
    }

    /// The current time, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        match &self.clock {
            Clock::System => clock::monotonic(),
            Clock::Virtual(now) => now.get(),
        }
    }

    /// Has `timer` fired at `deadline`, in nanoseconds.
    pub(crate) fn arm(&self, deadline: u64, timer: Rc<Timer>) {
        self.timers.borrow_mut().arm(Deadline(clock::seconds(deadline)), timer);
    }

    /// Records that a timer in here was cancelled.
    pub(crate) fn note_cancelled_timer(&self) {
        let mut graveyard = Vec::new();
        self.timers.borrow_mut().note_cancelled(&mut graveyard);
        drop(graveyard);
    }

    /// Calls `action` with the I/O driver.
    pub(crate) fn with_io<R>(&self, action: impl FnOnce(&mut IoDriver) -> R) -> io::Result<R> {
        let mut io = self.io.borrow_mut();
        if let Some(driver) = &mut *io {
            return Ok(action(driver));
        }
        if self.shared.pipe().get().is_none() {
            // Only this thread sets it.
            let _ = self.shared.pipe().set(ferrio_sys::Waker::new()?);
        }
        let pipe = self.shared.pipe().get().expect("it was just set");
        Ok(action(io.insert(IoDriver::new(pipe)?)))
    }

    /// Calls `action` with the I/O driver, if there is one.
    pub(crate) fn with_registered_io<R>(&self, action: impl FnOnce(&mut IoDriver) -> R) -> Option<R> {
        self.io.borrow_mut().as_mut().map(action)
    }

    /// What the layers above keep for this runtime, made by `create` at the first call.
    pub(crate) fn service<S: Any>(&self, create: impl FnOnce() -> S) -> Rc<S> {
        let found = self.services.borrow().iter().find_map(|service| Rc::clone(service).downcast::<S>().ok());
        found.unwrap_or_else(|| {
            let created = Rc::new(create());
            let service: Rc<dyn Any> = Rc::<S>::clone(&created);
            self.services.borrow_mut().push(service);
            created
        })
    }

    /// One turn: waits at most `limit` if there is nothing to do, then runs what is ready. `main` polls the future that
    /// the run is for.
    pub(crate) fn turn(&self, limit: Option<Duration>, main: &mut dyn FnMut()) -> io::Result<()> {
        self.receive();
        self.poll(limit)?;
        self.fire_timers();
        let count = self.ready.borrow().len();
        for _ in 0..count {
            let next = self.ready.borrow_mut().pop();
            let Some(key) = next else { break };
            self.run(key, main);
        }
        Ok(())
    }

    /// One step of a task, or of the future that the run is for.
    #[inline]
    pub(crate) fn run(&self, key: Key, main: &mut dyn FnMut()) {
        if key != Key::MAIN {
            return self.step(key);
        }
        self.begin(Key::MAIN);
        main();
        self.current.set(None);
    }

    /// Drops all tasks, in the order they were spawned, then timers, I/O and services.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        drop(self.shared.inbox().close());
        loop {
            let bodies: VecDeque<_> = self.slots.borrow_mut().take_all().into();
            if bodies.is_empty() {
                break;
            }
            for body in bodies {
                // A panic was reported by its hook; the other tasks are dropped nevertheless.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
            }
        }
        drop(self.ready.borrow_mut().take_all());
        let timers = self.timers.borrow_mut().take_all();
        drop(timers);
        let services = self.services.take();
        drop(services);
        // After the threads, which jobs belong to.
        if let Some(choices) = &self.choices {
            choices.clear();
        }
        let io = self.io.take();
        drop(io);
    }

    /// Carries out what other threads ask for.
    pub(crate) fn receive(&self) {
        let mut messages = Vec::new();
        self.shared.inbox().take(&mut messages);
        for message in messages {
            if let Some(choices) = &self.choices
                && !matches!(message, Message::JobDone)
            {
                choices.note_message();
            }
            match message {
                Message::Wake(key) => self.queue(key),
                // Fails if the runtime is closed, and then nobody calls this.
                Message::Call(function) => drop(self.spawn(Box::pin(Call::new(function)))),
                Message::JobDone => self.jobs.set(self.jobs.get() - 1),
                Message::Stop => self.is_stopping.set(true),
            }
        }
    }

    /// Looks for events, and waits for them if nothing is ready.
    fn poll(&self, limit: Option<Duration>) -> io::Result<()> {
        let is_idle = self.ready.borrow().is_empty() && !self.is_stopping.get();
        if !is_idle && !self.must_look() {
            return Ok(());
        }
        self.wait(if is_idle { self.timeout(limit) } else { Some(Duration::ZERO) })?;
        self.jump();
        Ok(())
    }

    /// Takes events and what other threads ask for; waits for them at most as long as it says, None for without end.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let sleeps = timeout != Some(Duration::ZERO);
        let mut found = Vec::new();
        let is_woken = self.with_io(|io| {
            if !sleeps {
                return io.wait(timeout, &mut found);
            }
            let falls_asleep = self.shared.inbox().fall_asleep();
            let outcome = io.wait(if falls_asleep { timeout } else { Some(Duration::ZERO) }, &mut found);
            self.shared.inbox().wake_up();
            outcome
        })??;
        if is_woken && let Some(pipe) = self.shared.pipe().get() {
            pipe.drain(&mut Vec::new())?;
        }
        self.policy.borrow_mut().polled(clock::monotonic(), !found.is_empty());
        io_driver::dispatch(found);
        self.receive();
        Ok(())
    }

    /// Whether a turn with work at hand looks for events.
    fn must_look(&self) -> bool {
        let watched = self.io.borrow().as_ref().map_or(0, IoDriver::watched);
        // The inbox tells without a poll whether another thread wants something.
        watched > 1 && self.policy.borrow_mut().must_poll(false, self.is_stopping.get(), watched, clock::monotonic)
    }

    /// How long to wait for events if nothing is ready; None without end.
    fn timeout(&self, limit: Option<Duration>) -> Option<Duration> {
        let deadline = self.next_deadline();
        let until = match (&self.clock, deadline) {
            (_, None) => None,
            (Clock::Virtual(_), Some(_)) if self.jobs.get() > 0 => None,
            (Clock::Virtual(_), Some(_)) => Some(Duration::ZERO),
            (Clock::System, Some(deadline)) => {
                let seconds = deadline.0 - clock::seconds(self.now());
                // Rounded up, so that the wait does not end just before the deadline.
                let ahead = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
                Some(if seconds > 0.0 { ahead + Duration::from_nanos(1) } else { Duration::ZERO })
            }
        };
        match (until, limit) {
            (Some(until), Some(limit)) => Some(until.min(limit)),
            (until, limit) => until.or(limit),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let mut graveyard = Vec::new();
        let deadline = self.timers.borrow_mut().next_deadline(&mut graveyard);
        drop(graveyard);
        deadline
    }

    /// In virtual time, goes on to the next deadline if nothing else can happen.
    fn jump(&self) {
        if matches!(self.clock, Clock::Virtual(_))
            && self.ready.borrow().is_empty()
            && self.jobs.get() == 0
            && let Some(deadline) = self.next_deadline()
        {
            self.go_on_to(deadline);
        }
    }

    /// Sets a virtual clock to `deadline`, unless it is there already.
    pub(crate) fn go_on_to(&self, deadline: Deadline) {
        let Clock::Virtual(now) = &self.clock else { return };
        // Nanoseconds of a time that began at 0: far below 2^53, so exact enough.
        let later = Duration::try_from_secs_f64(deadline.0).unwrap_or(Duration::MAX);
        now.set(now.get().max(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)));
    }

    fn fire_timers(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let end = Deadline(clock::seconds(self.now()).next_up());
        loop {
            let due = self.timers.borrow_mut().pop_due(end);
            let Some(timer) = due else { return };
            timer.fire();
        }
    }

    /// What runs with chosen surroundings look at and do themselves.
    pub(crate) fn ready_count(&self) -> usize {
        self.ready.borrow().len()
    }

    /// Takes out the task that has `place` others before it.
    pub(crate) fn take_ready(&self, place: usize) -> Option<Key> {
        let mut ready = self.ready.borrow_mut();
        let mut before = Vec::with_capacity(place);
        before.extend((0..place).map_while(|_| ready.pop()));
        let taken = ready.pop();
        before.into_iter().rev().for_each(|key| ready.push_front(key));
        taken
    }

    /// Whether a descriptor is watched besides the pipe.
    pub(crate) fn watches(&self) -> bool {
        self.io.borrow().as_ref().is_some_and(|io| io.watched() > 1)
    }

    /// The timers whose deadline is not later than `end`, the earliest first, with what [`Local::fire`] knows them by.
    pub(crate) fn armed_up_to(&self, end: Deadline) -> Vec<(Deadline, u64)> {
        let timers = self.timers.borrow();
        let mut armed: Vec<_> = timers.armed_up_to(end).map(|(deadline, sequence, _)| (deadline, sequence)).collect();
        armed.sort_unstable();
        armed
    }

    /// Fires one timer.
    pub(crate) fn fire(&self, sequence: u64) {
        let timer = self.timers.borrow_mut().take(sequence);
        if let Some(timer) = timer {
            timer.fire();
        }
    }

    fn begin(&self, key: Key) {
        self.current.set(Some(key));
        self.budget.set(BUDGET);
    }

    fn step(&self, key: Key) {
        let step = self.slots.borrow_mut().begin_step(key);
        let Some(mut step) = step else { return };
        self.begin(key);
        let poll = match step.cancelled.take() {
            Some(reason) => {
                step.body.as_mut().cancel(reason);
                Poll::Ready(())
            }
            None => step.body.as_mut().step(&mut Context::from_waker(&step.waker)),
        };
        self.current.set(None);
        match poll {
            Poll::Pending => self.slots.borrow_mut().suspend(key, step),
            Poll::Ready(()) => {
                let waker = self.slots.borrow_mut().finish(key, step.waker);
                drop((waker, step.body));
            }
        }
    }
}
