//! How long tasks wait for primitives while inspection is on.

use ferrio_engine::Durations;
pub use ferrio_engine::Primitive;
use pyo3::prelude::*;

use super::records::RECORDS;
pub use super::since::Since;
use super::switch::is_on;

/// A wait for a primitive has ended, whether the task got what it waited for or not.
#[inline]
pub fn note_ended(primitive: &Bound<'_, PyAny>, kind: Primitive, since: Option<Since>) {
    if is_on() {
        ended(primitive, kind, since);
    }
}

#[cold]
fn ended(primitive: &Bound<'_, PyAny>, kind: Primitive, since: Option<Since>) {
    let Some(took) = since.and_then(Since::elapsed) else { return };
    let address = primitive.as_ptr().addr();
    RECORDS.with(primitive.py(), |records| {
        if let Some(records) = records {
            records.waits.ended(address, kind, took);
        }
    });
}

/// A primitive is being made: what was known of one at its address is another one's.
#[inline]
pub fn note_made(primitive: &Bound<'_, PyAny>) {
    if is_on() {
        made(primitive);
    }
}

#[cold]
fn made(primitive: &Bound<'_, PyAny>) {
    let address = primitive.as_ptr().addr();
    RECORDS.with(primitive.py(), |records| {
        if let Some(records) = records {
            records.waits.made(address);
        }
    });
}

/// The longest wait for a primitive that has ended while inspection was on, in nanoseconds, 0 if none has; None if that is
/// not known.
pub fn longest(primitive: &Bound<'_, PyAny>) -> Option<u64> {
    let address = primitive.as_ptr().addr();
    RECORDS.with(primitive.py(), |records| records.as_ref()?.waits.longest(address))
}

/// How long waits have lasted that have ended, for each of `Primitive::ALL`; None if inspection is off.
pub fn durations(py: Python<'_>) -> Option<[Durations; Primitive::ALL.len()]> {
    RECORDS.with(py, |records| records.as_ref().map(|records| records.waits.durations().clone()))
}
