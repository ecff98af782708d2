//! Flow control in both directions: pauses and resumes the protocol's writing and the lower transport's reading.
//!
//! Unlike for sockets, asyncio compares with "at least" here, and counts encrypted data that the lower transport has
//! not taken yet.

use pyo3::prelude::*;

use super::TlsTransport;
use crate::common::noted;
use crate::common::numbers::{ceiling, floor, length, water_marks};
use crate::event_loop::exception_handler;

/// The default high water marks of `asyncio.constants`, in bytes.
const HIGH_INCOMING: usize = 256 * 1024;
const HIGH_OUTGOING: usize = 512 * 1024;

/// The largest size of a record in bytes, header included. While the protocol reads, only an incomplete record can be
/// unread, which is smaller.
const ONE_RECORD: usize = (1 << 14) + 2048 + 5;

/// The water marks of one direction, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    low: usize,
    high: usize,
}

impl Marks {
    pub(super) const fn incoming() -> Self {
        Self { low: HIGH_INCOMING / 4, high: HIGH_INCOMING }
    }

    pub(super) const fn outgoing() -> Self {
        Self { low: HIGH_OUTGOING / 4, high: HIGH_OUTGOING }
    }

    /// The water marks for the given arguments, as asyncio's `add_flowcontrol_defaults` computes them.
    fn given<'py>(
        py: Python<'py>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
        default: usize,
    ) -> PyResult<Self> {
        let (low, high) = water_marks(high, low, default, py)?;
        Ok(Self { low: length(floor(&low)?), high: length(ceiling(&high)?) })
    }
}

#[pymethods]
impl TlsTransport {
    /// Set the water marks of writing in bytes; None takes the default or derives one from the other.
    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits<'py>(
        slf: &Bound<'py, Self>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        slf.get().send_pending(slf.py())?;
        let marks = Marks::given(slf.py(), high, low, HIGH_OUTGOING)?;
        slf.get().state.with(slf.py(), |state| state.outgoing_marks = marks);
        control_writing(slf)
    }

    /// The water marks of writing as (low, high), in bytes.
    fn get_write_buffer_limits(slf: &Bound<'_, Self>) -> (usize, usize) {
        slf.get().state.with(slf.py(), |state| (state.outgoing_marks.low, state.outgoing_marks.high))
    }

    /// Set the water marks of reading in bytes; None takes the default or derives one from the other.
    #[pyo3(signature = (high=None, low=None))]
    fn set_read_buffer_limits<'py>(
        slf: &Bound<'py, Self>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let marks = Marks::given(slf.py(), high, low, HIGH_INCOMING)?;
        slf.get().state.with(slf.py(), |state| state.incoming_marks = marks);
        control_lower_reading(slf)
    }

    /// The water marks of reading as (low, high), in bytes.
    fn get_read_buffer_limits(slf: &Bound<'_, Self>) -> (usize, usize) {
        slf.get().state.with(slf.py(), |state| (state.incoming_marks.low, state.incoming_marks.high))
    }

    /// How many bytes were received and not read.
    fn get_read_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        self.session.incoming_pending(py)
    }

    #[getter]
    fn _protocol_paused(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.writing_paused)
    }
}

/// Pauses or resumes the protocol's writing, according to the size of the unsent data.
pub(super) fn control_writing(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    // The outgoing BIO is empty unless the lower transport is paused.
    let encrypted = if this.state.with(py, |state| state.lower_writing_paused || state.lower.is_none()) {
        this.session.outgoing_pending(py)?
    } else {
        0
    };
    let method = this.state.with(py, |state| {
        let size = encrypted + state.outbox_len(py) + state.backlog_len;
        if size >= state.outgoing_marks.high && !state.writing_paused {
            state.writing_paused = true;
            state.writing_paused_at = noted::instant();
            return Some("pause_writing");
        }
        if size <= state.outgoing_marks.low && state.writing_paused {
            state.writing_paused = false;
            return Some("resume_writing");
        }
        None
    });
    let (Some(method), Some(protocol)) = (method, this.protocol(py)) else { return Ok(()) };
    match protocol.call_method0(method) {
        Ok(_) => Ok(()),
        Err(error) if exception_handler::must_propagate(py, &error) => Err(error),
        Err(error) => {
            let message = format!("protocol.{method}() failed");
            let items = [("transport", transport.as_any()), ("protocol", &protocol)];
            exception_handler::report(this.owner(py), &message, &error, &items)
        }
    }
}

/// Pauses or resumes the lower transport's reading, according to the size of the unread data.
pub(super) fn control_lower_reading(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let unknown = this.state.with(py, |state| {
        state.reading_paused || state.lower_reading_paused || state.incoming_marks.high <= ONE_RECORD
    });
    if !unknown {
        return Ok(());
    }
    let size = this.session.incoming_pending(py)?;
    let method = this.state.with(py, |state| {
        if size >= state.incoming_marks.high && !state.lower_reading_paused {
            state.lower_reading_paused = true;
            return Some("pause_reading");
        }
        if size <= state.incoming_marks.low && state.lower_reading_paused {
            state.lower_reading_paused = false;
            return Some("resume_reading");
        }
        None
    });
    match (method, this.lower(py)) {
        (Some(method), Some(lower)) => lower.bind(py).call_method0(method).map(drop),
        _ => Ok(()),
    }
}
