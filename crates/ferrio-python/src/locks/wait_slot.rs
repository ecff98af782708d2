//! A waiter in the wait queue of a primitive, as a part of a coroutine's body.

use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Visitor};
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::Ticket;
use pyo3::prelude::*;

use super::loop_bound::Binding;

/// A place in a wait queue, and the future that is awaited there.
pub(crate) struct WaitSlot {
    awaiting: Awaiting,
    /// Identifies the entry in the wait queue, for its removal.
    pub(crate) ticket: Ticket,
}

impl WaitSlot {
    /// Joins the wait queue by `park`, with a future of the loop that `object` is bound to.
    ///
    /// # Errors
    /// `RuntimeError` if that is not the running loop, `MemoryError`.
    #[inline]
    pub(crate) fn new(
        object: &Bound<'_, PyAny>,
        binding: &Binding,
        park: impl FnOnce(FutureWaiter) -> Option<Ticket>,
    ) -> PyResult<Self> {
        let future = binding.new_waiter(object)?;
        let awaiting = Awaiting::new(&future)?;
        let ticket = park(FutureWaiter::new(&future)).ok_or_else(|| out_of_memory(object.py()))?;
        Ok(Self { awaiting, ticket })
    }

    /// Resumes the wait, like `Awaiting::resume`.
    ///
    /// # Errors
    /// The error that ends the wait.
    #[inline]
    pub(crate) fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        self.awaiting.resume(py, input)
    }

    /// Visits the awaited future for the garbage collector.
    pub(crate) fn traverse(&self, visitor: &Visitor<'_>) {
        self.awaiting.traverse(visitor);
    }
}
