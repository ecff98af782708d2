//! How a `CapacityLimiter` lends its tokens and takes them back, on the attributes of anyio's own limiter.

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::slot::Slot;
use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::originals::{self, Kept, Methods};
use crate::common::numbers::plain_integer;
use crate::locks::event::Event;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

/// Its `acquire`, replaced.
pub(super) static ACQUIRE: Kept = Kept::new();

static BORROWERS: Slot = Slot::new("_borrowers");
static WAITING: Slot = Slot::new("_wait_queue");
static TOTAL: Slot = Slot::new("_total_tokens");

/// Finds the attributes of anyio's class.
pub(super) fn find_slots(methods: &Methods<'_, '_>) -> PyResult<()> {
    [&BORROWERS, &WAITING, &TOTAL].into_iter().try_for_each(|slot| slot.find(methods.class()))
}

#[inline]
fn borrowers<'py>(limiter: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PySet>> {
    Ok(BORROWERS.get(limiter)?.cast_into::<PySet>()?)
}

/// The waiting borrowers, each with its event: an `OrderedDict`.
#[inline]
pub(super) fn waiting<'py>(limiter: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    WAITING.get(limiter)
}

/// Whether all tokens are borrowed.
fn is_used_up(limiter: &Bound<'_, PyAny>, borrowers: &Bound<'_, PySet>) -> PyResult<bool> {
    let total = TOTAL.get(limiter)?;
    match plain_integer(&total) {
        Some(total) => Ok(usize::try_from(total).is_ok_and(|total| borrowers.len() >= total)),
        None => total.le(borrowers.len()),
    }
}

/// Lends a token, unless that has to wait.
pub(super) fn lend_now(limiter: &Bound<'_, PyAny>, borrower: &Bound<'_, PyAny>) -> PyResult<bool> {
    let borrowers = borrowers(limiter)?;
    if borrowers.contains(borrower)? {
        let text = "this borrower is already holding one of this CapacityLimiter's tokens";
        return Err(ferrio_cpython::error::<PyRuntimeError>(text));
    }
    if waiting(limiter)?.len()? > 0 || is_used_up(limiter, &borrowers)? {
        return Ok(false);
    }
    borrowers.add(borrower)?;
    Ok(true)
}

/// Gives a borrower's token to whoever waits longest.
pub(super) fn take_back(limiter: &Bound<'_, PyAny>, borrower: &Bound<'_, PyAny>) -> PyResult<()> {
    if !borrowers(limiter)?.discard(borrower)? {
        let missing = ferrio_cpython::error::<PyKeyError>((borrower.clone().unbind(),));
        let text = "this borrower isn't holding any of this CapacityLimiter's tokens";
        return Err(originals::from_none(limiter.py(), &missing, || ferrio_cpython::error::<PyRuntimeError>(text)));
    }
    notify_next(limiter)
}

/// Gives a free token, if there is one, to whoever waits longest.
pub(super) fn notify_next(limiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = limiter.py();
    let waiting = waiting(limiter)?;
    let borrowers = borrowers(limiter)?;
    if waiting.len()? == 0 || is_used_up(limiter, &borrowers)? {
        return Ok(());
    }
    let next = waiting.call_method1(pyo3::intern!(py, "popitem"), (false,))?;
    let (borrower, event) = next.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
    borrowers.add(borrower)?;
    match event.cast_exact::<Event>() {
        Ok(event) => Event::set(event),
        Err(_) => event.call_method0(pyo3::intern!(py, "set")).map(drop),
    }
}

/// Forgets a borrower whose wait failed after it had got a token, which somebody else gets.
pub(super) fn pass_on(limiter: &Bound<'_, PyAny>, borrower: &Bound<'_, PyAny>) -> PyResult<()> {
    borrowers(limiter)?.discard(borrower)?;
    notify_next(limiter)
}
