//! Write flow control: `pause_writing` above the high water mark, `resume_writing` at the low one.
//!
//! Shared by every transport that writes; each defines the Python methods on its own class.

use ferrio_engine::{Buffered, Drained, FlowControl};
use pyo3::prelude::*;

use super::endpoint::{Endpoint, call_protocol};
use super::socket::SocketTransport;
use super::socket::write_coalescing;
use crate::common::noted;
use crate::common::numbers::{floor, length, water_marks};
use crate::event_loop::exception_handler;

#[pymethods]
impl SocketTransport {
    /// Set the water marks in bytes; None takes the default or derives one from the other.
    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits<'py>(
        slf: &Bound<'py, Self>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        write_coalescing::send(slf)?;
        set_limits(slf, high, low)
    }

    /// The water marks as (low, high), in bytes.
    fn get_write_buffer_limits(slf: &Bound<'_, Self>) -> (usize, usize) {
        slf.get().state.with(slf.py(), |state| (state.flow.low(), state.flow.high()))
    }

    #[getter]
    fn _protocol_paused(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.flow.is_paused())
    }
}

/// Sets the water marks; pauses the protocol if more than the new high mark is buffered.
pub(crate) fn set_limits<'py, T: Endpoint>(
    transport: &Bound<'py, T>,
    high: Option<Bound<'py, PyAny>>,
    low: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = transport.py();
    let (low, high) = water_marks(high, low, FlowControl::default().high(), py)?;
    // An integer length exceeds a number exactly if it exceeds that number rounded down.
    let (low, high) = (length(floor(&low)?), length(floor(&high)?));
    transport.get().with_flow(py, |flow, _| flow.set_limits(low, high));
    maybe_pause(transport)
}

/// Calls the protocol's `pause_writing` if too much is buffered.
pub(crate) fn maybe_pause<T: Endpoint>(transport: &Bound<'_, T>) -> PyResult<()> {
    let change = transport.get().with_flow(transport.py(), FlowControl::buffered);
    match change {
        Buffered::Unchanged => Ok(()),
        Buffered::Pause => {
            transport.get().with_flow(transport.py(), |flow, _| flow.note_pause(noted::instant()));
            let protocol = transport.get().protocol(transport.py());
            let called = protocol.map_or(Ok(()), |protocol| protocol.call_method0(name!("pause_writing")).map(drop));
            contain(transport, "pause_writing", called)
        }
    }
}

/// Calls the protocol's `resume_writing` if enough has been sent.
pub(crate) fn maybe_resume<T: Endpoint>(transport: &Bound<'_, T>) -> PyResult<()> {
    let change = transport.get().with_flow(transport.py(), FlowControl::drained);
    match change {
        Drained::Unchanged => Ok(()),
        Drained::Resume => {
            let py = transport.py();
            let this = transport.get();
            let call = |protocol| call_protocol(this, &protocol, pyo3::intern!(py, "resume_writing"), ()).map(drop);
            contain(transport, "resume_writing", this.protocol(py).map_or(Ok(()), call))
        }
    }
}

/// Reports an exception raised by the protocol's `method`.
fn contain<T: Endpoint>(transport: &Bound<'_, T>, method: &str, called: PyResult<()>) -> PyResult<()> {
    let py = transport.py();
    let Err(error) = called else { return Ok(()) };
    if exception_handler::must_propagate(py, &error) {
        return Err(error);
    }
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    let protocol = transport.get().protocol(py).unwrap_or_else(|| py.None().into_bound(py));
    let message = format!("protocol.{method}() failed");
    exception_handler::report(&owner, &message, &error, &[("transport", transport.as_any()), ("protocol", &protocol)])
}
