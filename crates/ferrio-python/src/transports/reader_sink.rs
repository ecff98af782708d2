//! The direct path from a transport to a stream reader, without a Python call; `streams` registers its functions here.

use std::sync::OnceLock;

use pyo3::prelude::*;

/// The functions of stream readers that transports call.
pub(crate) struct ReaderSink {
    /// The open reader that receives a protocol's bytes; None unless both are ferrio's own classes without overrides.
    pub(crate) reader_of: for<'py> fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
    /// Adds bytes to a reader without running Python code; the caller must call `added` next. False if memory runs out.
    pub(crate) add: fn(&Bound<'_, PyAny>, &[u8]) -> bool,
    /// Wakes the reader's waiter and pauses the transport, as the new bytes require.
    pub(crate) added: fn(&Bound<'_, PyAny>) -> PyResult<()>,
    /// Takes the bytes that a stream protocol's reader has buffered so far.
    pub(crate) take_early: fn(&Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>>,
}

static REGISTERED: OnceLock<ReaderSink> = OnceLock::new();

/// Registers the functions, when the module is imported.
pub(crate) fn register(sink: ReaderSink) {
    // A second import of the module registers the same functions.
    let _ = REGISTERED.set(sink);
}

/// The registered functions, and the reader that takes bytes for `protocol`.
#[inline]
pub(super) fn reader_of<'py>(protocol: &Bound<'py, PyAny>) -> Option<(&'static ReaderSink, Bound<'py, PyAny>)> {
    let sink = REGISTERED.get()?;
    Some((sink, (sink.reader_of)(protocol)?))
}

/// The bytes that a stream protocol's reader has buffered so far; empty for other protocols.
pub(super) fn take_early(protocol: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let early = REGISTERED.get().map_or(Ok(None), |sink| (sink.take_early)(protocol))?;
    Ok(early.unwrap_or_default())
}
