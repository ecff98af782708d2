//! `read` and `readexactly` with a count that is not a plain integer: it is compared as asyncio compares it.
//!
//! Separate from the bodies for integers, which know their count at the start and store no object.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Body, Visitor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::read::Read;
use super::reader::StreamReader;
use super::wait_for_data::{Waiting, check_exception, drive, incomplete};
use crate::common::imports;
use crate::common::numbers::{ceiling, equal_integer, index, length};

/// Whether `bytearray.take_bytes` removes the bytes that are read, as since 3.15, instead of a slice.
fn takes_bytes(py: Python<'_>) -> bool {
    imports::python_version(py) >= (3, 15)
}

/// The count as the length to remove.
///
/// # Errors
/// `TypeError` for a count without `__index__`.
fn cut(number: &Bound<'_, PyAny>) -> PyResult<i64> {
    index(number).map_err(|error| {
        if takes_bytes(number.py()) && error.is_instance_of::<PyTypeError>(number.py()) {
            return ferrio_cpython::error::<PyTypeError>("n must be an integer or None");
        }
        error
    })
}

/// The body of `read`.
pub(super) struct ReadOdd {
    reader: OwnedRef<StreamReader>,
    number: OwnedRef,
    stage: Stage,
}

enum Stage {
    New,
    /// Reads with the count converted to an integer.
    Usual(Read),
    /// For a count that is no index: waits for data like any read, then fails.
    Doomed(Waiting),
}

impl ReadOdd {
    pub(super) fn new<'py>(reader: &Bound<'py, StreamReader>, number: Bound<'py, PyAny>) -> Self {
        Self { reader: OwnedRef::of(reader), number: number.into(), stage: Stage::New }
    }

    /// Starts the read; None if the count is zero.
    fn begin(&self, py: Python<'_>) -> PyResult<Option<Stage>> {
        let (reader, number) = (self.reader.bind(py), self.number.bind(py));
        check_exception(reader)?;
        if number.eq(0)? {
            return Ok(None);
        }
        if number.lt(0)? {
            return Ok(Some(Stage::Usual(Read::new(reader, -1))));
        }
        Ok(Some(match index(number) {
            Ok(number) => Stage::Usual(Read::new(reader, number)),
            Err(_) => Stage::Doomed(Waiting::default()),
        }))
    }
}

impl Body for ReadOdd {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if matches!(self.stage, Stage::New) {
            match self.begin(py)? {
                Some(stage) => self.stage = stage,
                None => return Ok(Step::Returned(PyBytes::new(py, b"").into_any())),
            }
        }
        match &mut self.stage {
            Stage::New => Ok(Step::Returned(py.None().into_bound(py))),
            Stage::Usual(read) => read.resume(py, input),
            Stage::Doomed(waiting) => {
                let reader = self.reader.bind(py);
                let mut waited = waiting.0.is_some();
                drive(reader, waiting, "read", input, || {
                    let there = reader.get().with_incoming(py, |incoming, frame| {
                        (waited || frame.eof || !incoming.is_empty()).then(|| incoming.len())
                    })?;
                    waited = true;
                    let Some(there) = there else { return Ok(None) };
                    let number = self.number.bind(py);
                    // Since 3.15 asyncio takes the lesser of the count and the available length.
                    if takes_bytes(py) && !number.lt(there)? {
                        let look = |data: &[u8]| memory::bytes(py, data).map(Bound::into_any);
                        return reader.get().with_incoming(py, |incoming, _| incoming.try_take(there, look))?.map(Some);
                    }
                    cut(number).map(|_| None)
                })
            }
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        visitor.show_owned(&self.number);
        match &self.stage {
            Stage::New => {}
            Stage::Usual(read) => read.traverse(visitor),
            Stage::Doomed(waiting) => waiting.traverse(visitor),
        }
    }
}

/// The body of `readexactly`.
pub(super) struct ReadExactlyOdd {
    reader: OwnedRef<StreamReader>,
    number: OwnedRef,
    waiting: Waiting,
    /// The least number of bytes that is not less than the count; None before the read starts.
    enough: Option<i64>,
}

impl ReadExactlyOdd {
    pub(super) fn new<'py>(reader: &Bound<'py, StreamReader>, number: Bound<'py, PyAny>) -> Self {
        Self { reader: OwnedRef::of(reader), number: number.into(), waiting: Waiting::default(), enough: None }
    }

    /// Starts the read; None if the count is zero.
    fn begin(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        let number = self.number.bind(py);
        if number.lt(0)? {
            return Err(ferrio_cpython::error::<PyValueError>("readexactly size can not be less than zero"));
        }
        check_exception(self.reader.bind(py))?;
        if number.eq(0)? {
            return Ok(None);
        }
        // No length is less than NaN.
        if number.eq(number)? { ceiling(number).map(Some) } else { Ok(Some(0)) }
    }
}

impl Body for ReadExactlyOdd {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let enough = if let Some(enough) = self.enough {
            enough
        } else {
            let Some(enough) = self.begin(py)? else { return Ok(Step::Returned(PyBytes::new(py, b"").into_any())) };
            *self.enough.insert(enough)
        };
        let (reader, number) = (self.reader.bind(py), self.number.bind(py));
        drive(reader, &mut self.waiting, "readexactly", input, || {
            let (there, eof) = reader.get().with_incoming(py, |incoming, frame| (incoming.len(), frame.eof))?;
            let there = i64::try_from(there).unwrap_or(i64::MAX);
            if there < enough && !eof {
                return Ok(None);
            }
            if there < enough {
                return Err(incomplete(py, reader.get().take_all(py)?, Some(number.clone())));
            }
            let is_all = !takes_bytes(py) && equal_integer(number) == Some(there);
            let count = if is_all { there } else { cut(number)? };
            let look = |data: &[u8]| memory::bytes(py, data).map(Bound::into_any);
            reader.get().with_incoming(py, |incoming, _| incoming.try_take(length(count), look))?.map(Some)
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        visitor.show_owned(&self.number);
        self.waiting.traverse(visitor);
    }
}
