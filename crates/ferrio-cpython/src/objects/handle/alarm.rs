//! Alarms: timers of ferrio's own, with an object and a function in place of a callback and a context.
//!
//! Apart from that an alarm is an ordinary timer handle, cancelled and ordered like all others. The collector tracks it
//! from the beginning, because the object that set it keeps it too.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Arity, Body, DebugNotes, HandleRef, Kind, types};
use crate::capi::imports;
use crate::objects::future::finish_with_none;
use crate::objects::loop_base::LoopBase;
use crate::objects::runnable::{Action, Runnable};

impl HandleRef {
    /// Schedules `action(target, 0)` at `when`, in seconds of the loop's clock.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed or, in debug mode, runs in another thread.
    pub fn alarm<'py>(
        owner: &Bound<'py, LoopBase>,
        when: f64,
        target: &Bound<'py, PyAny>,
        action: Action,
    ) -> PyResult<Self> {
        let handle = Self::set(owner, when, target, action, Kind::Timer)?;
        owner.get().arm(owner.py(), handle.clone_ref(owner.py()))?;
        Ok(handle)
    }

    /// Schedules `action(target, 0)` for the next turn.
    ///
    /// # Errors
    /// As `alarm`.
    pub fn alarm_soon<'py>(owner: &Bound<'py, LoopBase>, target: &Bound<'py, PyAny>, action: Action) -> PyResult<Self> {
        let handle = Self::set(owner, 0.0, target, action, Kind::Soon)?;
        owner.get().push(owner.py(), Runnable::Handle(handle.clone_ref(owner.py())))?;
        Ok(handle)
    }

    fn set<'py>(
        owner: &Bound<'py, LoopBase>,
        when: f64,
        target: &Bound<'py, PyAny>,
        action: Action,
        kind: Kind,
    ) -> PyResult<Self> {
        let py = owner.py();
        owner.get().check_scheduling(py)?;
        let body = Body {
            callback: Some(target.clone().unbind()),
            arguments: None,
            context: None,
            owner: Some(owner.clone().unbind()),
            notes: DebugNotes::here(owner)?,
            weak_references: std::ptr::null_mut(),
            when,
            arity: Arity::Zero,
            cancelled: false,
            scheduled: false,
            context_is_shared: false,
            running_in: 0,
            tracked: false,
            action: Some(action),
            kind,
        };
        let handle = types::allocate(owner, kind, body)?;
        handle.track(py);
        Ok(handle)
    }

    /// Shows the collector the handle.
    ///
    /// # Errors
    /// Any error that the visit returns.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&*self.0)
    }

    /// Whether this is the timer of a sleep, ferrio's or asyncio's.
    pub(crate) fn ends_sleep(&self, py: Python<'_>) -> bool {
        let body = self.body();
        match (body.action, &body.callback) {
            (Some(action), _) => std::ptr::fn_addr_eq(action, finish_with_none as Action),
            (None, Some(callback)) => {
                imports::set_result_unless_cancelled(py).is_ok_and(|function| callback.bind(py).is(function))
            }
            (None, None) => false,
        }
    }

    /// Runs the action. An error goes to the loop's exception handler; `SystemExit` and `KeyboardInterrupt` are
    /// returned.
    #[inline]
    pub(super) fn fire(&self, py: Python<'_>, action: Action) -> PyResult<()> {
        // The action may cancel this handle.
        let Some(target) = self.body().callback.as_ref().map(|target| target.bind(py).clone()) else {
            return Ok(());
        };
        match action(&target, 0) {
            Ok(()) => Ok(()),
            Err(error) => self.report(py, error, &target, None, Arity::Zero),
        }
    }
}

impl LoopBase {
    /// Whether timers of this loop can be set without its `call_at` and `call_later`: a program may have overridden
    /// them.
    ///
    /// # Errors
    /// Any exception that looking up attributes raises.
    #[inline]
    pub fn takes_alarms(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::has_own_clock(slf)?;
        Ok(!slf.get().timers_overridden.get())
    }
}
