//! The futures of a thread: they stay on it, while the coroutine objects that name them may go anywhere.
//!
//! Futures need not be `Send`, but the collector may free a coroutine object on any thread. So an object has a `Place`
//! only, and a future is taken out of its place to be polled or dropped, on its own thread. A place that is given up
//! on another thread is noted, and emptied when its own thread next stores a future.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::await_py::closing;
use crate::loop_bridge::LoopBridge;
use crate::panics::drop_caught;

pub(crate) type Body = Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>>>>;

/// A future, and what it waits for while it is suspended.
pub(crate) struct Suspended {
    pub(crate) wait: Wait,
    pub(crate) body: Body,
}

/// What a suspended future waits for, and where.
#[derive(Default)]
pub(crate) struct Wait {
    /// The loop; known once it is needed. At its end the future is dropped.
    pub(crate) bridge: Option<Py<LoopBridge>>,
    /// The await in which the task waits itself.
    pub(crate) direct: Option<u64>,
    /// An object that wakes the future when it is done, besides other wakers.
    pub(crate) watched: Option<Py<PyAny>>,
}

/// Where a future is: its thread, and its index there.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    thread: u64,
    index: usize,
}

struct Slot {
    /// None while it is polled, and once it is dropped.
    future: Option<Suspended>,
    /// Grows with each future of the thread.
    order: u64,
}

#[derive(Default)]
struct Futures {
    slots: Vec<Slot>,
    free: Vec<usize>,
    next_order: u64,
}

/// Places that were given up on threads that are not theirs.
static ABANDONED: Mutex<Vec<Place>> = Mutex::new(Vec::new());
/// Whether `ABANDONED` has any.
static ANY_ABANDONED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static FUTURES: Guarded = const { Guarded(RefCell::new(None)) };
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Drops what is left at the thread's end if it can attach, else leaks it: destructors may need the interpreter.
struct Guarded(RefCell<Option<Futures>>);

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(left) = self.0.take() else { return };
        let mut left = Some(left);
        Python::try_attach(|py| drop_caught(py, left.take()));
        std::mem::forget(left);
    }
}

/// The number of this thread; no other thread ever has it.
pub(crate) fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    THREAD.with(|number| {
        if number.get() == 0 {
            // Relaxed: only that the numbers differ matters.
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Stores a future of this thread.
pub(crate) fn insert(py: Python<'_>, body: Body, bridge: Option<Py<LoopBridge>>) -> Place {
    drop_abandoned(py);
    let future = Some(Suspended { wait: Wait { bridge, ..Wait::default() }, body });
    let index = with(|futures| {
        let order = futures.next_order;
        futures.next_order += 1;
        if let Some(index) = futures.free.pop() {
            futures.slots[index] = Slot { future, order };
            return index;
        }
        futures.slots.push(Slot { future, order });
        futures.slots.len() - 1
    });
    Place { thread: thread_number(), index }
}

impl Place {
    pub(crate) fn is_here(self) -> bool {
        self.thread == thread_number()
    }

    /// Takes the future out, to poll or drop it, on its own thread. None if its loop is closed. The place stays its own.
    pub(crate) fn take(self) -> Option<Suspended> {
        with(|futures| futures.slots[self.index].future.take())
    }

    /// Puts it back after a poll.
    pub(crate) fn put_back(self, future: Suspended) {
        with(|futures| futures.slots[self.index].future = Some(future));
    }

    /// Looks at what it waits for, if it is suspended and of this thread. `look` runs no Python code.
    pub(crate) fn look<R>(self, look: impl FnOnce(&Wait) -> R) -> Option<R> {
        if !self.is_here() {
            return None;
        }
        FUTURES
            .try_with(|futures| {
                let futures = futures.0.try_borrow().ok()?;
                let slot = futures.as_ref()?.slots.get(self.index)?;
                slot.future.as_ref().map(|future| look(&future.wait))
            })
            .ok()
            .flatten()
    }

    /// Gives the place up: drops the future if it is still there, now or, on another thread than its own, later.
    pub(crate) fn release(self, py: Python<'_>) {
        if self.is_here() {
            // After the thread's end the list has dropped all it had.
            let future = FUTURES.try_with(|futures| {
                let mut futures = futures.0.borrow_mut();
                let futures = futures.as_mut()?;
                futures.free.push(self.index);
                futures.slots[self.index].future.take()
            });
            drop_in_bounded_depth(py, future.ok().flatten());
        } else {
            ABANDONED.lock().expect("no code panics under this lock").push(self);
            ANY_ABANDONED.store(true, Ordering::Release);
        }
    }
}

/// Drops the futures of a loop that ends, in the order of their creation.
pub(crate) fn drop_all_of(py: Python<'_>, event_loop: u64) {
    let mut left = with(|futures| {
        let of_loop = futures.slots.iter_mut().filter_map(|slot| {
            let future = slot
                .future
                .take_if(|future| future.wait.bridge.as_ref().is_some_and(|bridge| bridge.get().number == event_loop));
            Some((slot.order, future?))
        });
        of_loop.collect::<Vec<_>>()
    });
    left.sort_unstable_by_key(|(order, _)| *order);
    for (_, future) in left {
        closing(|| drop_caught(py, future));
    }
}

/// Drops a future that may own another coroutine, which owns another future, and so on: beyond a depth they wait until
/// the outermost is dropped.
fn drop_in_bounded_depth(py: Python<'_>, future: Option<Suspended>) {
    const DEEPEST: usize = 32;
    thread_local! {
        static DEPTH: Cell<usize> = const { Cell::new(0) };
        static LATER: RefCell<Vec<Suspended>> = const { RefCell::new(Vec::new()) };
    }
    let Some(future) = future else { return };
    let depth = DEPTH.get();
    if depth == DEEPEST {
        LATER.with_borrow_mut(|later| later.push(future));
        return;
    }
    let mut next = Some(future);
    while let Some(future) = next {
        DEPTH.set(depth + 1);
        closing(|| drop_caught(py, future));
        DEPTH.set(depth);
        next = if depth == 0 { LATER.with_borrow_mut(Vec::pop) } else { None };
    }
}

/// Drops the futures of this thread whose objects were freed on other threads.
pub(crate) fn drop_abandoned(py: Python<'_>) {
    if !ANY_ABANDONED.load(Ordering::Acquire) {
        return;
    }
    let mine: Vec<Place> = {
        let mut abandoned = ABANDONED.lock().expect("no code panics under this lock");
        let (mine, others): (Vec<_>, Vec<_>) = abandoned.drain(..).partition(|place| place.is_here());
        ANY_ABANDONED.store(!others.is_empty(), Ordering::Release);
        *abandoned = others;
        mine
    };
    for place in mine {
        place.release(py);
    }
}

/// Only moves futures in and out, so that no foreign code runs while the list is borrowed.
fn with<R>(change: impl FnOnce(&mut Futures) -> R) -> R {
    FUTURES.with(|futures| change(futures.0.borrow_mut().get_or_insert_default()))
}
