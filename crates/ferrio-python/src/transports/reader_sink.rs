//! From a transport straight into a stream reader, without a Python call: what `streams`, above, registers for that.

use std::sync::OnceLock;

use pyo3::prelude::*;

/// The functions of stream readers that transports call.
pub(crate) struct ReaderSink {
    /// The reader that takes bytes for a protocol, if all is ours, nothing overridden and the reader open.
    pub(crate) reader_of: for<'py> fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
    /// Adds bytes to a reader, without Python code; `added` has to follow. False if there is no memory for them.
    pub(crate) add: fn(&Bound<'_, PyAny>, &[u8]) -> bool,
    /// Does what follows from new bytes.
    pub(crate) added: fn(&Bound<'_, PyAny>) -> PyResult<()>,
    /// Takes what a stream protocol's reader has read ahead.
    pub(crate) take_early: fn(&Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>>,
}

static REGISTERED: OnceLock<ReaderSink> = OnceLock::new();

/// Registers the functions, when the module is imported.
pub(crate) fn register(sink: ReaderSink) {
    // A second import of the module brings the same.
    let _ = REGISTERED.set(sink);
}

/// The registered functions, and the reader that takes bytes for `protocol`.
#[inline]
pub(super) fn reader_of<'py>(protocol: &Bound<'py, PyAny>) -> Option<(&'static ReaderSink, Bound<'py, PyAny>)> {
    let sink = REGISTERED.get()?;
    Some((sink, (sink.reader_of)(protocol)?))
}

/// What the reader of a stream protocol has read ahead; empty for other protocols.
pub(super) fn take_early(protocol: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let early = REGISTERED.get().map_or(Ok(None), |sink| (sink.take_early)(protocol))?;
    Ok(early.unwrap_or_default())
}
