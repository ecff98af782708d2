//! `FutureWaiter`: a future in the wait queue of a primitive, as the engine's waiter.
//!
//! The state of a ferrio future is read from its body, that of one of asyncio's C futures from its state attribute,
//! both without Python code, so a primitive may read it while it is borrowed. Any other object (a subclass's future, a
//! test's mock) is queried by `ask`, outside every borrow, before the primitive decides; the answer is used until the
//! next call.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::{Waiter, WaiterState, Waiters};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit};

use crate::capi::gil_cell::GilCell;
use crate::capi::owned_ref::OwnedRef;
use crate::objects::coroutine::Visitor;
use crate::objects::future::{FutureRef, State};
use crate::objects::recording::since::Since;

/// A future that code waits for.
pub struct FutureWaiter {
    future: OwnedRef,
    kind: Kind,
    /// The last answer of an object whose methods have to be called.
    answer: Cell<WaiterState>,
    since: Since,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A future exactly of our type.
    Ours,
    /// A future exactly of asyncio's C type.
    Stock,
    /// Anything else that has `done` and `cancelled`.
    Other,
}

/// Whether any `Kind::Other` was made in this process: without one there are no methods to call.
static OTHERS: AtomicBool = AtomicBool::new(false);

impl FutureWaiter {
    /// `future` as a waiter.
    #[inline]
    #[must_use]
    pub fn new(future: &Bound<'_, PyAny>) -> Self {
        let kind = if FutureRef::exact(future).is_some() { Kind::Ours } else { foreign_kind(future) };
        Self { future: future.clone().into(), kind, answer: Cell::new(WaiterState::Waiting), since: Since::now() }
    }

    /// A second reference.
    #[inline]
    #[must_use]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { future: self.future.clone_ref(py), kind: self.kind, answer: self.answer.clone(), since: self.since }
    }

    /// The future.
    #[must_use]
    pub fn future<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.future.get(py)
    }

    /// Since when it has waited, if that was recorded.
    #[inline]
    #[must_use]
    pub const fn since(&self) -> Since {
        self.since
    }

    /// Sets the future's result, unless it is done. Foreign loops may run any code.
    ///
    /// # Errors
    /// Any exception that the future or its loop raises.
    #[inline]
    pub fn wake<'py>(&self, py: Python<'py>, result: Bound<'py, PyAny>) -> PyResult<()> {
        if self.kind == Kind::Ours {
            let future = self.ours(py);
            return if future.is_pending() { future.finish(result) } else { Ok(()) };
        }
        let future = self.future.bind(py);
        if !future.call_method0(crate::intern!(py, "done"))?.is_truthy()? {
            future.call_method1(crate::intern!(py, "set_result"), (result,))?;
        }
        Ok(())
    }

    /// Cancels the future, unless it is done, and returns its state after that.
    ///
    /// # Errors
    /// Any exception that the future or its loop raises.
    pub fn cancel(&self, py: Python<'_>) -> PyResult<WaiterState> {
        if self.kind == Kind::Ours {
            self.ours(py).cancel_as_future(None)?;
            return Ok(self.waiter_state());
        }
        self.future.bind(py).call_method0(crate::intern!(py, "cancel"))?;
        self.state_now(py)
    }

    /// Its state; calls the object's methods where it has to.
    ///
    /// # Errors
    /// Any exception that the object raises.
    pub fn state_now(&self, py: Python<'_>) -> PyResult<WaiterState> {
        if self.kind == Kind::Other {
            let future = self.future.bind(py);
            self.answer.set(if future.call_method0(crate::intern!(py, "cancelled"))?.is_truthy()? {
                WaiterState::Cancelled
            } else if future.call_method0(crate::intern!(py, "done"))?.is_truthy()? {
                WaiterState::Chosen
            } else {
                WaiterState::Waiting
            });
        }
        Ok(self.waiter_state())
    }

    /// Shows the collector the future.
    ///
    /// # Errors
    /// The visitor's error.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.future.traverse(visit)
    }

    /// Shows the collector the future, from inside a coroutine's body.
    pub fn show(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.future);
    }

    fn ours<'py>(&self, py: Python<'py>) -> FutureRef<'py> {
        // SAFETY: `Kind::Ours` says that it is exactly of our type.
        unsafe { FutureRef::new_unchecked(self.future.get(py)) }
    }
}

impl Waiter for FutureWaiter {
    #[inline]
    fn waiter_state(&self) -> WaiterState {
        // SAFETY: wait queues live in Python objects and are touched only by attached code, as `OwnedRef`s are.
        let py = unsafe { Python::assume_attached() };
        match self.kind {
            Kind::Ours => match self.ours(py).body().state {
                State::Pending => WaiterState::Waiting,
                State::Cancelled => WaiterState::Cancelled,
                State::Finished => WaiterState::Chosen,
            },
            Kind::Stock => stock_state(self.future.bind(py)),
            Kind::Other => self.answer.get(),
        }
    }
}

/// Queries those in a wait queue of `cell` whose methods have to be called. The caller decides right after it.
///
/// # Errors
/// Any exception that they raise.
#[inline]
pub fn query_states<S>(
    py: Python<'_>,
    cell: &GilCell<S>,
    wait_queue: impl Fn(&mut S) -> &mut Waiters<FutureWaiter>,
) -> PyResult<()> {
    // Relaxed: written and read with the GIL held.
    if OTHERS.load(Ordering::Relaxed) { query_others(py, cell, wait_queue) } else { Ok(()) }
}

#[cold]
fn query_others<S>(
    py: Python<'_>,
    cell: &GilCell<S>,
    wait_queue: impl Fn(&mut S) -> &mut Waiters<FutureWaiter>,
) -> PyResult<()> {
    let others: Vec<_> = cell.with(py, |state| {
        let others = wait_queue(state).entries().filter(|(_, waiter)| waiter.kind == Kind::Other);
        others.map(|(ticket, waiter)| (ticket, waiter.clone_ref(py))).collect()
    });
    for (_, waiter) in &others {
        waiter.state_now(py)?;
    }
    cell.with(py, |state| {
        for (ticket, waiter) in wait_queue(state).entries() {
            if let Ok(place) = others.binary_search_by_key(&ticket, |(own, _)| *own) {
                waiter.answer.set(others[place].1.answer.get());
            }
        }
    });
    Ok(())
}

/// The kind of a future that is not exactly of ferrio's type.
#[cold]
fn foreign_kind(future: &Bound<'_, PyAny>) -> Kind {
    static STOCK: PyOnceLock<Option<Py<PyAny>>> = PyOnceLock::new();
    let py = future.py();
    let stock = STOCK.get_or_init(py, || {
        let class =
            crate::capi::modules::module(py, name!("_asyncio")).and_then(|module| module.getattr(name!("Future")));
        class.ok().map(Bound::unbind)
    });
    if stock.as_ref().is_some_and(|class| future.get_type().is(class)) {
        return Kind::Stock;
    }
    OTHERS.store(true, Ordering::Relaxed);
    Kind::Other
}

/// The state of a future of asyncio's C type; its attribute is read in C.
fn stock_state(future: &Bound<'_, PyAny>) -> WaiterState {
    let py = future.py();
    let Ok(state) = future.getattr(crate::intern!(py, "_state")) else {
        return WaiterState::Chosen;
    };
    let is = |expected: &Bound<'_, PyString>| {
        state.is(expected) || {
            // SAFETY: two live strings, compared without Python code.
            (unsafe { ffi::PyUnicode_Compare(state.as_ptr(), expected.as_ptr()) }) == 0
        }
    };
    if is(crate::intern!(py, "PENDING")) {
        WaiterState::Waiting
    } else if is(crate::intern!(py, "CANCELLED")) {
        WaiterState::Cancelled
    } else {
        WaiterState::Chosen
    }
}
