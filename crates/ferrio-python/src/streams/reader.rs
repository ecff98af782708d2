//! `StreamReader`: a buffer of received bytes, and the one task that may wait for more.
//!
//! Invariant: the bytes are in `incoming` until a program reads `_buffer`; from then on they are in the bytearray that
//! was handed out, so that changes to it have the same effect as in asyncio.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine::spawn;
use ferrio_engine::Incoming;
use pyo3::Borrowed;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyInt, PySlice, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::count::{ReadExactlyOdd, ReadOdd};
use super::fields::Fields;
use super::read::{Next, Read, ReadExactly};
use super::readline::Line;
use super::readuntil::ReadUntil;
use super::wait_for_data::WaitForData;
use super::{DEFAULT_LIMIT, default_loop, feed, is_debug, stack};
use crate::common::imports;
use crate::common::numbers::{floor, plain_integer};
use crate::common::slices::slice;
use crate::locks::optional_argument::Argument;

/// The reading end of a stream.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
pub(crate) struct StreamReader {
    pub(super) state: GilCell<State>,
}

/// The mutable state of a reader.
#[derive(Default)]
pub(crate) struct State {
    pub(super) incoming: Incoming,
    /// The bytearray that was handed out as `_buffer`.
    pub(super) shared: Option<OwnedRef<PyByteArray>>,
    /// The longest message in bytes; a limit that is not an integer is rounded down.
    pub(super) limit: i64,
    /// The number of bytes above which the transport is paused: twice the limit.
    pub(super) most: i64,
    /// The limit as the caller passed it, if it is not a plain integer.
    pub(super) given_limit: Option<OwnedRef>,
    pub(super) owner: Option<OwnedRef>,
    pub(super) waiter: Option<OwnedRef>,
    pub(super) exception: Option<OwnedRef>,
    pub(super) transport: Option<OwnedRef>,
    pub(super) source: Option<OwnedRef>,
    pub(super) eof: bool,
    pub(super) paused: bool,
}

impl State {
    fn with_limit(limit: i64) -> Self {
        Self { limit, most: limit.saturating_mul(2), ..Self::default() }
    }

    /// A state with a limit of any type that lengths can be compared with.
    pub(super) fn with_given_limit(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(limit) = plain_integer(given) {
            return Ok(Self::with_limit(limit));
        }
        // No length is greater than NaN.
        let is_number = given.eq(given)?;
        let last = |number: &Bound<'_, PyAny>| if is_number { floor(number) } else { Ok(i64::MAX) };
        let (limit, most) = (last(given)?, last(&given.mul(2)?)?);
        Ok(Self { limit, most, given_limit: Some(given.clone().into()), ..Self::default() })
    }
}

impl Fields for StreamReader {
    type State = State;

    fn state(&self) -> &GilCell<State> {
        &self.state
    }
}

impl StreamReader {
    /// The limit as the caller passed it.
    pub(super) fn given_limit<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let limit = || PyInt::new(py, self.state.with(py, |state| state.limit)).into_any();
        self.field(py, |state| &state.given_limit).unwrap_or_else(limit)
    }

    /// Creates a reader of exactly this class.
    pub(super) fn create<'py>(py: Python<'py>, limit: i64, owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let source = if is_debug(owner)? { Some(OwnedRef::from(stack(py)?)) } else { None };
        let state = State { owner: Some(owner.clone().into()), source, ..State::with_limit(limit) };
        Bound::new(py, Self { state: GilCell::new(state) })
    }

    /// Calls `look` with the buffered bytes. Fails if a bytearray that was handed out cannot be resized.
    #[inline]
    pub(super) fn with_incoming<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Incoming, Frame) -> R) -> PyResult<R> {
        let shared = self.state.with(py, |state| state.shared.as_ref().map(|shared| shared.bind(py).clone()));
        if let Some(shared) = shared {
            return self.with_shared(&shared, look);
        }
        Ok(self.state.with(py, |state| {
            let State { incoming, limit, eof, .. } = state;
            look(incoming, Frame { limit: *limit, eof: *eof })
        }))
    }

    #[cold]
    fn with_shared<R>(
        &self,
        shared: &Bound<'_, PyByteArray>,
        look: impl FnOnce(&mut Incoming, Frame) -> R,
    ) -> PyResult<R> {
        let py = shared.py();
        let before = shared.to_vec();
        let mut incoming = Incoming::new();
        if !incoming.push(&before) {
            return Err(memory::out_of_memory(py));
        }
        let (limit, eof) = self.state.with(py, |state| (state.limit, state.eof));
        let outcome = look(&mut incoming, Frame { limit, eof });
        let after = incoming.as_slice();
        if after != before.as_slice() {
            if let Some(dropped) = before.len().checked_sub(after.len()).filter(|at| &before[*at..] == after) {
                shared.as_any().del_item(slice(py, 0, Some(dropped))?)?;
            } else {
                let everything = PySlice::full(py);
                shared.as_any().set_item(everything, memory::bytes(py, after)?)?;
            }
        }
        Ok(outcome)
    }

    /// Takes all unread bytes.
    pub(crate) fn take_all(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        self.with_incoming(py, |incoming, _| incoming.try_take(usize::MAX, |all| memory::copied(py, all)))?
    }

    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        self.with_incoming(py, |incoming, _| incoming.len())
    }

    /// Whether there are unread bytes, as far as can be determined without running Python code.
    #[inline]
    pub(super) fn has_more(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.incoming.is_empty())
    }
}

/// What framing needs besides the bytes.
pub(super) struct Frame {
    pub(super) limit: i64,
    pub(super) eof: bool,
}

/// The argument of a new reader. An explicit None is an invalid limit, not the default.
enum Limit<'py> {
    Default,
    Given(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Limit<'py> {
    type Error = PyErr;

    fn extract(limit: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Given(limit.to_owned()))
    }
}

#[pymethods]
impl StreamReader {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(limit=65536, loop=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: GilCell::new(State::with_limit(DEFAULT_LIMIT)) }
    }

    #[pyo3(signature = (limit=Limit::Default, r#loop=None))]
    fn __init__(slf: &Bound<'_, Self>, limit: Limit<'_>, r#loop: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let state = match limit {
            Limit::Default => State::with_limit(DEFAULT_LIMIT),
            Limit::Given(limit) if limit.le(0)? => {
                return Err(ferrio_cpython::error::<PyValueError>("Limit cannot be <= 0"));
            }
            Limit::Given(limit) => State::with_given_limit(&limit)?,
        };
        let owner = r#loop.map_or_else(|| default_loop(py), Ok)?;
        let source = if is_debug(&owner)? { Some(OwnedRef::from(stack(py)?)) } else { None };
        let state = State { owner: Some(owner.into()), source, ..state };
        let before = slf.get().state.with(py, |place| std::mem::replace(place, state));
        drop(before);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let py = slf.py();
        let this = slf.get();
        let mut words = vec!["StreamReader".to_owned()];
        let length = this.len(py)?;
        let (eof, limit, paused) = this.state.with(py, |state| (state.eof, state.limit, state.paused));
        words.extend((length > 0).then(|| format!("{length} bytes")));
        words.extend(eof.then(|| "eof".to_owned()));
        let given = this.field(py, |state| &state.given_limit);
        let shown = given.map_or_else(|| Ok(limit.to_string()), |given| given.str().map(|text| text.to_string()))?;
        words.extend((limit != DEFAULT_LIMIT).then(|| format!("limit={shown}")));
        let objects = [
            ("waiter", this.field(py, |state| &state.waiter)),
            ("exception", this.field(py, |state| &state.exception)),
            ("transport", this.field(py, |state| &state.transport)),
        ];
        for (name, object) in objects {
            if let Some(object) = object {
                words.push(format!("{name}={}", object.repr()?));
            }
        }
        words.extend(paused.then(|| "paused".to_owned()));
        Ok(Text(format!("<{}>", words.join(" "))))
    }

    /// The exception that reading ended with, or None.
    pub(super) fn exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.exception)
    }

    /// End reading with an exception.
    pub(super) fn set_exception(&self, py: Python<'_>, exc: Bound<'_, PyAny>) -> PyResult<()> {
        feed::fail(py, self, exc)
    }

    /// Set the transport that is paused when too much is unread.
    pub(super) fn set_transport(&self, transport: Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if self.field(py, |state| &state.transport).is_some() {
            return Err(ferrio_cpython::error::<PyAssertionError>("Transport already set"));
        }
        self.put(py, |state| &mut state.transport, Some(transport));
        Ok(())
    }

    fn _replace_transport(&self, transport: Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if self.field(py, |state| &state.transport).is_none() {
            return Err(ferrio_cpython::error::<PyAssertionError>("Transport not set"));
        }
        self.put(py, |state| &mut state.transport, Some(transport));
        Ok(())
    }

    /// No more bytes will come.
    pub(super) fn feed_eof(&self, py: Python<'_>) -> PyResult<()> {
        feed::end(py, self)
    }

    /// Return True if everything was read and `feed_eof` was called.
    fn at_eof(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.state.with(py, |state| state.eof) && self.len(py)? == 0)
    }

    /// Add bytes that were received.
    pub(super) fn feed_data(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        feed::feed(self, data)
    }

    fn _wakeup_waiter(&self, py: Python<'_>) -> PyResult<()> {
        feed::wake(py, self)
    }

    fn _maybe_resume_transport(&self, py: Python<'_>) -> PyResult<()> {
        feed::maybe_resume(py, self)
    }

    /// Read up to `n` bytes; until end of file if it is negative.
    #[pyo3(signature = (n=Argument(None)), text_signature = "($self, n=-1)")]
    fn read<'py>(slf: &Bound<'py, Self>, n: Argument<'py>) -> PyResult<Py<PyAny>> {
        match n.0 {
            None => spawn(slf.py(), "StreamReader.read", Read::new(slf, -1)),
            Some(n) => match plain_integer(&n) {
                Some(n) => spawn(slf.py(), "StreamReader.read", Read::new(slf, n)),
                None => spawn(slf.py(), "StreamReader.read", ReadOdd::new(slf, n)),
            },
        }
    }

    /// Read exactly `n` bytes.
    ///
    /// Raises `IncompleteReadError`, whose `partial` has what there was, if the stream ends before.
    fn readexactly<'py>(slf: &Bound<'py, Self>, n: Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
        match plain_integer(&n) {
            Some(n) => spawn(slf.py(), "StreamReader.readexactly", ReadExactly::new(slf, n)),
            None => spawn(slf.py(), "StreamReader.readexactly", ReadExactlyOdd::new(slf, n)),
        }
    }

    /// Read a line, its newline included; what there is at end of file.
    ///
    /// Raises `ValueError` if the line is longer than the limit.
    fn readline(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if slf.is_exact_instance_of::<Self>() {
            return spawn(slf.py(), "StreamReader.readline", ReadUntil::for_line(slf));
        }
        spawn(slf.py(), "StreamReader.readline", Line::new(slf))
    }

    /// Read until a separator, or one of a tuple of them, is found.
    ///
    /// Raises `IncompleteReadError` at end of file and `LimitOverrunError` if the limit is passed.
    #[pyo3(signature = (separator=Argument(None)), text_signature = "($self, separator=b'\\n')")]
    fn readuntil<'py>(slf: &Bound<'py, Self>, separator: Argument<'py>) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "StreamReader.readuntil", ReadUntil::new(slf, separator.0))
    }

    fn _wait_for_data(slf: &Bound<'_, Self>, func_name: String) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "StreamReader._wait_for_data", WaitForData::new(slf, func_name))
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "StreamReader.__anext__", Next::new(slf))
    }

    #[classmethod]
    fn __class_getitem__<'py>(class: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        imports::generic_alias(class.py())?.call1((class, item))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.state.traverse(&visit, |state| {
            let State { given_limit, owner, waiter, exception, transport, source, .. } = state;
            for object in [given_limit, owner, waiter, exception, transport, source].into_iter().flatten() {
                object.traverse(&visit)?;
            }
            Ok(())
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.state.with(py, std::mem::take);
        drop(before);
    }
}
