//! `CancelScope`: its state, its making, and `cancel()`; `entering.rs` and `exiting.rs` have the `with` block, `delivery.rs` how tasks are
//! cancelled, `attributes.rs` what Python sees, `any_scope.rs` operations on scopes of any class.
//!
//! A scope is entered by one task, its *host*. Scopes form a tree: a scope's tasks are those whose current scope it is,
//! its children the scopes entered inside. Invariant: a task whose current scope is this one is among its tasks, apart
//! from tasks that have just been started eagerly.

pub(crate) mod any_scope;
mod attributes;
mod delivery;
mod entering;
mod exiting;
pub(super) mod with_block;

pub(crate) use exiting::{is_anyio_cancellation, is_cancellation_of_a_scope};

use ferrio_cpython::GilCell;
use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::handle::HandleRef;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyFloat;
use pyo3::{PyTraverseError, PyVisit};

use super::backend;
use super::members::Members;
use crate::common::imports;
use crate::common::timer::{Timer, plain_number};
use crate::locks::optional_argument::Argument;

/// A unit of work that can be cancelled by itself; `anyio.CancelScope`.
#[pyclass(frozen, weakref, module = "anyio._backends._asyncio")]
pub(crate) struct CancelScope {
    pub(super) tasks: Members,
    pub(super) children: Members,
    pub(super) inner: GilCell<Inner>,
}

pub(super) struct Inner {
    /// The loop's time in seconds; None for never.
    deadline: Option<OwnedRef>,
    pub(super) shield: bool,
    parent: Option<OwnedRef>,
    pub(super) cancel_called: bool,
    reason: Option<OwnedRef>,
    cancelled_caught: bool,
    /// Entered and not left.
    pub(super) active: bool,
    /// Cancels the scope at its deadline.
    timer: Option<Timer>,
    /// The next delivery, or the one that has just begun.
    delivery: Option<Timer>,
    /// The task that entered it, until it is left.
    host: Option<OwnedRef>,
    /// The requests to cancel that the host had when it entered.
    cancelling_at_enter: u32,
    /// The requests of this scope, which the host gets taken back.
    pending_uncancellations: u32,
}

/// `AsyncIOBackend.create_cancel_scope`.
#[pyfunction]
#[pyo3(signature = (*, deadline=Argument(None), shield=Argument(None)))]
pub(crate) fn create_cancel_scope<'py>(
    py: Python<'py>,
    deadline: Argument<'py>,
    shield: Argument<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    if backend::our_loop_with_scopes(py)?.is_some() {
        return Ok(CancelScope::create(py, deadline.0, shield.0)?.into_any());
    }
    let keywords = memory::dict(py)?;
    if let Some(deadline) = deadline.0 {
        keywords.set_item(name!("deadline"), deadline)?;
    }
    if let Some(shield) = shield.0 {
        keywords.set_item(name!("shield"), shield)?;
    }
    backend::method(py, "create_cancel_scope")?.call((), Some(&keywords))
}

impl CancelScope {
    /// A scope that ends at `deadline`, if there is one.
    #[inline]
    pub(crate) fn create<'py>(
        py: Python<'py>,
        deadline: Option<Bound<'py, PyAny>>,
        shield: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let deadline = deadline.map(checked).transpose()?.flatten();
        let shield = shield.map_or(Ok(false), |shield| shield.is_truthy())?;
        Bound::new(py, Self::new(deadline, shield))
    }

    /// A scope without a deadline.
    #[inline]
    pub(crate) fn unlimited(py: Python<'_>, shield: bool) -> PyResult<Bound<'_, Self>> {
        Bound::new(py, Self::new(None, shield))
    }

    fn new(deadline: Option<OwnedRef>, shield: bool) -> Self {
        let inner = Inner {
            deadline,
            shield,
            parent: None,
            cancel_called: false,
            reason: None,
            cancelled_caught: false,
            active: false,
            timer: None,
            delivery: None,
            host: None,
            cancelling_at_enter: 0,
            pending_uncancellations: 0,
        };
        Self { tasks: Members::new(), children: Members::new(), inner: GilCell::new(inner) }
    }

    #[inline]
    pub(crate) fn parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.parent.as_ref().map(|parent| parent.bind(py).clone()))
    }

    #[inline]
    pub(crate) fn host<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.host.as_ref().map(|host| host.bind(py).clone()))
    }

    pub(crate) fn is_active(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.active)
    }

    /// Whether it swallowed its cancellation, and its deadline has passed.
    pub(in crate::anyio) fn has_timed_out(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if !slf.get().inner.with(py, |inner| inner.cancelled_caught) {
            return Ok(false);
        }
        get_running_loop(py)?.call_method0(pyo3::intern!(py, "time"))?.ge(slf.get().deadline(py))
    }

    fn reason<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let reason = self.inner.with(py, |inner| inner.reason.as_ref().map(|reason| reason.bind(py).clone()));
        reason.unwrap_or_else(|| py.None().into_bound(py))
    }

    fn cancel_timer(&self, py: Python<'_>) -> PyResult<()> {
        match self.inner.with(py, |inner| inner.timer.take()) {
            Some(timer) => timer.cancel(py),
            None => Ok(()),
        }
    }

    /// `cancel(reason)`.
    pub(crate) fn cancel_for(slf: &Bound<'_, Self>, why: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.inner.with(py, |inner| inner.cancel_called) {
            return Ok(());
        }
        this.cancel_timer(py)?;
        this.inner.with(py, |inner| inner.cancel_called = true);
        let mut text = format!("Cancelled via cancel scope {:x}", slf.as_ptr() as usize);
        if let Some(task) = running_task(py, &get_running_loop(py)?, CurrentTaskCall::WithoutLoop)? {
            text.push_str(" by ");
            text.push_str(&task.str()?.to_string_lossy());
        }
        if let Some(why) = why
            && why.is_truthy()?
        {
            text.push_str("; reason: ");
            text.push_str(&why.str()?.to_string_lossy());
        }
        let reason = OwnedRef::from(memory::text(py, &text)?.into_any());
        let has_host = this.inner.with(py, |inner| {
            inner.reason = Some(reason);
            inner.host.is_some()
        });
        if has_host {
            delivery::deliver(slf, slf.as_any())?;
        }
        Ok(())
    }

    /// `_timeout`: cancels the scope if its deadline has come, otherwise sets the timer for it.
    #[inline]
    fn set_timer(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let deadline = slf.get().inner.with(py, |inner| inner.deadline.as_ref().map(|when| when.bind(py).clone()));
        match deadline {
            Some(deadline) => Self::set_timer_at(slf, &deadline),
            None => Ok(()),
        }
    }

    fn set_timer_at(slf: &Bound<'_, Self>, deadline: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let owner = get_running_loop(py)?;
        let name = pyo3::intern!(py, "_timeout");
        let timer = match (owner.cast::<LoopBase>(), plain_number(deadline)) {
            (Ok(ours), Some(when)) if LoopBase::takes_alarms(ours)? => {
                if LoopBase::now(ours)? >= when {
                    return Self::overdue(slf);
                }
                Timer::Ours(HandleRef::alarm(ours, when, slf.as_any(), alarm)?)
            }
            _ => {
                if owner.call_method0(pyo3::intern!(py, "time"))?.ge(deadline)? {
                    return Self::overdue(slf);
                }
                let method = slf.getattr(name)?;
                Timer::Foreign(OwnedRef::from(owner.call_method1(name!("call_at"), (deadline, method))?))
            }
        };
        let before = slf.get().inner.with(py, |inner| inner.timer.replace(timer));
        drop(before);
        Ok(())
    }

    #[cold]
    fn overdue(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::cancel_for(slf, Some(memory::text(slf.py(), "deadline exceeded")?.as_any()))
    }
}

fn alarm(scope: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    CancelScope::set_timer(scope.cast::<CancelScope>()?)
}

/// A deadline as it was given: None for infinity.
#[inline]
fn checked(deadline: Bound<'_, PyAny>) -> PyResult<Option<OwnedRef>> {
    let py = deadline.py();
    let seconds = match deadline.cast_exact::<PyFloat>() {
        Ok(float) => Some(float.value()),
        Err(_) => None,
    };
    let is_nan = match seconds {
        Some(seconds) => seconds.is_nan(),
        None => imports::isnan(py)?.call1((&deadline,))?.is_truthy()?,
    };
    if is_nan && backend::does_as_4_16() {
        return Err(ferrio_cpython::error::<PyValueError>("deadline must not be NaN"));
    }
    let never = match seconds {
        Some(seconds) => seconds == f64::INFINITY,
        None => deadline.eq(f64::INFINITY)?,
    };
    Ok(if never { None } else { Some(deadline.into()) })
}

impl CancelScope {
    fn visit_all(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.tasks.traverse(visit)?;
        self.children.traverse(visit)?;
        let outcome = self.inner.traverse(visit, |inner| {
            for owned in [&inner.deadline, &inner.parent, &inner.reason, &inner.host].into_iter().flatten() {
                owned.traverse(visit)?;
            }
            for timer in [&inner.timer, &inner.delivery].into_iter().flatten() {
                timer.visit(visit)?;
            }
            Ok(())
        });
        outcome.unwrap_or(Ok(()))
    }

    fn clear_all(&self, py: Python<'_>) {
        self.tasks.clear(py);
        self.children.clear(py);
        let before = self
            .inner
            .with(py, |inner| (inner.parent.take(), inner.host.take(), inner.timer.take(), inner.delivery.take()));
        drop(before);
    }
}
