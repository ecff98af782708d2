//! What loops have scheduled, and how long tasks have waited for primitives, for `ferrio.inspect`.

use ferrio_cpython::objects::recording;
use ferrio_cpython::objects::recording::waits::{self, Primitive};
use pyo3::prelude::*;

use super::recording::Histogram;
use crate::event_loop::{Loop, base};
use crate::locks::wait_queue::Access;
use crate::locks::{condition, event, lock, semaphore};
use crate::queues::queue;

/// How many callbacks of a loop are ready, and how many timers are not due yet.
#[pyfunction]
#[pyo3(name = "_count_scheduled")]
pub(crate) fn count_scheduled(owner: &Bound<'_, Loop>) -> (usize, usize) {
    base(owner).count_scheduled(owner.py())
}

/// Timers, each with the instant at which it is due, and how many others there are.
type Timers<'py> = (Vec<(f64, Bound<'py, PyAny>)>, usize);

/// The handles of the timers that are soonest due, and when, in seconds of the loop's clock; and how many there are
/// beyond `most`.
#[pyfunction]
#[pyo3(name = "_timers_of")]
pub(crate) fn timers_of<'py>(owner: &Bound<'py, Loop>, most: usize) -> PyResult<Timers<'py>> {
    let py = owner.py();
    let (timers, others) = base(owner).soonest_timers(py, most)?;
    Ok((timers.into_iter().map(|(when, handle)| (when, handle.bind(py))).collect(), others))
}

/// The wait queues of primitives; each calls its closure for objects of its class only.
const WAIT_QUEUES: [Access; 6] =
    [lock::access, semaphore::access, event::access, condition::access, queue::access_getters, queue::access_putters];

/// The longest that a task has waited for a lock, a semaphore, a condition, an event or a queue of ferrio's while
/// inspection was on, in nanoseconds; those that wait now count. None if it is not known: for other objects, while
/// inspection is off, and while a task waits that began before.
#[pyfunction]
#[pyo3(name = "_longest_wait")]
pub(crate) fn longest_wait(primitive: &Bound<'_, PyAny>) -> Option<u64> {
    if !recording::is_on() {
        return None;
    }
    let (mut is_ours, mut lasting) = (false, Some(0_u64));
    for access in WAIT_QUEUES {
        access(primitive, &mut |waiters| {
            is_ours = true;
            for waiter in waiters.iter() {
                lasting = lasting.zip(waiter.since().elapsed()).map(|(longest, elapsed)| longest.max(elapsed));
            }
        });
    }
    let ended = waits::longest(primitive).filter(|_| is_ours)?;
    Some(lasting?.max(ended))
}

/// How long waits for primitives have lasted, by the kind of primitive; None while inspection is off.
#[pyfunction]
#[pyo3(name = "_wait_durations")]
pub(crate) fn wait_durations(py: Python<'_>) -> Option<Vec<(&'static str, Histogram)>> {
    let durations = waits::durations(py)?;
    Some(Primitive::ALL.iter().zip(durations).map(|((_, name), durations)| (*name, durations.read())).collect())
}
