//! Alarms: timers of ferrio's own, an object and a function in place of a callback and a context.
//!
//! An alarm is an ordinary timer handle otherwise, cancelled and ordered like all others. The collector knows it from the
//! beginning, for whoever set it keeps it too.

use pyo3::prelude::*;

use super::{Arity, Body, HandleRef, Kind, extract_stack, types};
use crate::handle::DebugNotes;
use crate::loop_base::LoopBase;
use crate::runnable::Action;
use crate::scheduling::check_thread;

impl HandleRef {
    /// Arranges for `action(target, 0)` at `when`, in seconds of the loop's clock.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed or, in debug mode, runs in another thread.
    pub fn alarm<'py>(
        owner: &Bound<'py, LoopBase>,
        when: f64,
        target: &Bound<'py, PyAny>,
        action: Action,
    ) -> PyResult<Self> {
        let py = owner.py();
        let base = owner.get();
        base.check_open()?;
        let mut notes = None;
        if base.debug.get() {
            check_thread(py, base)?;
            notes = Some(Box::new(DebugNotes { source_traceback: extract_stack(py)?, cancelled_repr: None }));
        }
        let body = Body {
            callback: Some(target.clone().unbind()),
            arguments: None,
            context: None,
            owner: Some(owner.clone().unbind()),
            notes,
            weak_references: std::ptr::null_mut(),
            when,
            arity: Arity::Zero,
            cancelled: false,
            scheduled: false,
            context_is_shared: false,
            running_in: 0,
            tracked: false,
            action: Some(action),
            kind: Kind::Timer,
        };
        let handle = types::allocate(owner, Kind::Timer, body)?;
        handle.track(py);
        base.arm(py, handle.clone_ref(py));
        Ok(handle)
    }

    /// Does what the alarm is for. An error goes to the loop's exception handler; `SystemExit` and `KeyboardInterrupt`
    /// come back.
    #[inline]
    pub(super) fn ring(&self, py: Python<'_>, action: Action) -> PyResult<()> {
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
    /// Whether timers of this loop can be set past its `call_at` and `call_later`: a program may have overridden them.
    ///
    /// # Errors
    /// What looking up attributes raises.
    #[inline]
    pub fn takes_alarms(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::has_own_clock(slf)?;
        Ok(!slf.get().timers_overridden.get())
    }
}
