//! One who waits in the line of a primitive, as a part of a coroutine's body.

use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Visitor};
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::Ticket;
use pyo3::prelude::*;

use super::loop_bound::Binding;

/// A place in a line, and the future that is awaited there.
pub(crate) struct WaitSlot {
    awaiting: Awaiting,
    /// Whoever comes back leaves the line by it.
    pub(crate) ticket: Ticket,
}

impl WaitSlot {
    /// Gets in line by `park`, with a future of the loop that `object` is bound to.
    ///
    /// # Errors
    /// `RuntimeError` when that is another than the running one, `MemoryError`.
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

    /// Goes on waiting, as `Awaiting::resume`.
    ///
    /// # Errors
    /// What ends the wait.
    #[inline]
    pub(crate) fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        self.awaiting.resume(py, input)
    }

    /// Shows the collector what is awaited.
    pub(crate) fn traverse(&self, visitor: &Visitor<'_>) {
        self.awaiting.traverse(visitor);
    }
}
