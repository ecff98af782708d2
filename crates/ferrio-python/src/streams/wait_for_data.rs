//! Waiting for data, which all reads share, and `_wait_for_data`.
//!
//! One read waits at a time; the reader stores the future that it waits for (`State::waiter`).

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::prelude::*;

use super::feed;
use super::fields::Fields;
use super::reader::StreamReader;
use crate::common::imports;

/// The wait of one read for data; None while it does not wait.
#[derive(Default)]
pub(super) struct Waiting(pub(super) Option<Awaiting>);

impl Waiting {
    /// The first half of `_wait_for_data`.
    pub(super) fn begin(&mut self, reader: &Bound<'_, StreamReader>, function: &str) -> PyResult<()> {
        let py = reader.py();
        let this = reader.get();
        let (waited_for, eof, paused) = this.state.with(py, |state| (state.waiter.is_some(), state.eof, state.paused));
        if waited_for {
            return Err(ferrio_cpython::error::<PyRuntimeError>(format!(
                "{function}() called while another coroutine is already waiting for incoming data"
            )));
        }
        if eof {
            return Err(ferrio_cpython::error::<PyAssertionError>("_wait_for_data after EOF"));
        }
        if paused {
            feed::resume(py, this)?;
        }
        let owner = this.field(py, |state| &state.owner).unwrap_or_else(|| py.None().into_bound(py));
        let future = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        self.0 = Some(Awaiting::new(&future)?);
        this.put(py, |state| &mut state.waiter, Some(future));
        Ok(())
    }

    /// The second half: returns the yielded object, or None when the wait is over.
    #[inline]
    pub(super) fn resume<'py>(
        &mut self,
        reader: &Bound<'py, StreamReader>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = reader.py();
        let Some(awaiting) = &mut self.0 else { return input.map(|_| None) };
        let step = awaiting.resume(py, input);
        if let Ok(Step::Yielded(yielded)) = step {
            return Ok(Some(yielded));
        }
        self.0 = None;
        reader.get().put(py, |state| &mut state.waiter, None);
        step.map(|_| None)
    }

    /// Visits the references for the garbage collector.
    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        self.0.iter().for_each(|awaiting| awaiting.traverse(visitor));
    }
}

/// Drives a read: `attempt` returns the result once the data is there.
#[inline]
pub(super) fn drive<'py>(
    reader: &Bound<'py, StreamReader>,
    waiting: &mut Waiting,
    function: &str,
    mut input: PyResult<Bound<'py, PyAny>>,
    mut attempt: impl FnMut() -> PyResult<Option<Bound<'py, PyAny>>>,
) -> PyResult<Step<'py>> {
    loop {
        if let Some(yielded) = waiting.resume(reader, input)? {
            return Ok(Step::Yielded(yielded));
        }
        if let Some(value) = attempt()? {
            feed::maybe_resume(reader.py(), reader.get())?;
            return Ok(Step::Returned(value));
        }
        waiting.begin(reader, function)?;
        input = Ok(reader.py().None().into_bound(reader.py()));
    }
}

/// The result of a read that need not wait: `length` returns its length if all of it is there.
#[inline]
pub(super) fn ready<'py>(
    reader: &Bound<'py, StreamReader>,
    length: impl FnOnce(&[u8], i64) -> Option<usize>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = reader.py();
    let data = reader.get().state.with(py, |state| {
        if state.shared.is_some() || state.exception.is_some() {
            return None;
        }
        let length = length(state.incoming.as_slice(), state.limit)?;
        Some(state.incoming.try_take(length, |data| memory::bytes(py, data)))
    });
    let data = data.transpose()?.map(Bound::into_any);
    if data.is_some() {
        feed::maybe_resume(py, reader.get())?;
    }
    Ok(data)
}

/// Raises the exception set by `set_exception`.
#[inline]
pub(super) fn check_exception(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    match reader.get().field(reader.py(), |state| &state.exception) {
        Some(exception) => Err(raised(&exception)),
        None => Ok(()),
    }
}

/// Creates an `IncompleteReadError`.
#[cold]
pub(super) fn incomplete<'py>(py: Python<'py>, partial: Vec<u8>, expected: Option<Bound<'py, PyAny>>) -> PyErr {
    let made =
        imports::incomplete_read_error(py).and_then(|class| class.call1((memory::bytes(py, &partial)?, expected)));
    made.map_or_else(|error| error, |error| raised(&error))
}

/// The body of `_wait_for_data`, for programs that read in their own ways.
pub(super) struct WaitForData {
    reader: OwnedRef<StreamReader>,
    function: Option<String>,
    waiting: Waiting,
}

impl WaitForData {
    pub(super) fn new(reader: &Bound<'_, StreamReader>, function: String) -> Self {
        Self { reader: OwnedRef::of(reader), function: Some(function), waiting: Waiting::default() }
    }
}

impl Body for WaitForData {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, mut input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let reader = self.reader.bind(py);
        if let Some(function) = self.function.take() {
            self.waiting.begin(reader, &function)?;
            input = Ok(py.None().into_bound(py));
        }
        let yielded = self.waiting.resume(reader, input)?;
        Ok(yielded.map_or_else(|| Step::Returned(py.None().into_bound(py)), Step::Yielded))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        self.waiting.traverse(visitor);
    }
}
