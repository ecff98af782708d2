//! The body of `readuntil` and `readline`.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Body, Visitor};
use ferrio_engine::{Found, Search, Separators};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::reader::StreamReader;
use super::readline::drop_line;
use super::wait_for_data::{Waiting, check_exception, drive, incomplete, ready};
use crate::common::imports;

/// The body of `readuntil` and `readline`.
pub(super) struct ReadUntil {
    reader: OwnedRef<StreamReader>,
    waiting: Waiting,
    search: Search,
    /// The argument, until the coroutine first resumes; None for a newline.
    given: Option<OwnedRef>,
    /// None for a newline.
    separators: Option<Box<Separators>>,
    is_line: bool,
    fresh: bool,
}

/// Why a message could not be read.
enum Failure {
    Incomplete(Vec<u8>),
    TooLong(usize),
    Overrun(usize),
}

impl ReadUntil {
    #[inline]
    pub(super) fn for_line(reader: &Bound<'_, StreamReader>) -> Self {
        Self {
            reader: OwnedRef::of(reader),
            waiting: Waiting::default(),
            search: Search::default(),
            given: None,
            separators: None,
            is_line: true,
            fresh: true,
        }
    }

    pub(super) fn new(reader: &Bound<'_, StreamReader>, separator: Option<Bound<'_, PyAny>>) -> Self {
        Self { given: separator.map(OwnedRef::from), is_line: false, ..Self::for_line(reader) }
    }

    fn fail<'py>(&self, py: Python<'py>, failure: Failure) -> PyResult<Option<Bound<'py, PyAny>>> {
        const TOO_LONG: &str = "Separator is found, but chunk is longer than limit";
        const OVERRUN: &str = "Separator is not found, and chunk exceed the limit";
        let (text, consumed) = match failure {
            Failure::Incomplete(partial) if self.is_line => return Ok(Some(memory::bytes(py, &partial)?.into_any())),
            Failure::Incomplete(partial) => return Err(incomplete(py, partial, None)),
            Failure::TooLong(consumed) => (TOO_LONG, consumed),
            Failure::Overrun(consumed) => (OVERRUN, consumed),
        };
        let overrun = raised(&imports::limit_overrun_error(py)?.call1((text, consumed))?);
        if self.is_line {
            return Err(drop_line(self.reader.bind(py), overrun.value(py).as_any())?);
        }
        Err(overrun)
    }
}

/// Converts the argument of `readuntil` to separators.
fn separators(given: &Bound<'_, PyAny>) -> PyResult<Separators> {
    let py = given.py();
    let takes_several = imports::python_version(py) >= (3, 13);
    let copy = |object: &Bound<'_, PyAny>| -> PyResult<Vec<u8>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(bytes.as_bytes().to_vec());
        }
        // As in asyncio, its length is taken before its type is checked.
        object.len()?;
        let buffer = pyo3::buffer::PyBuffer::<u8>::get(object);
        buffer.and_then(|buffer| buffer.to_vec(py)).map_err(|_| {
            let kind = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            ferrio_cpython::error::<PyTypeError>(format!(
                "argument should be integer or bytes-like object, not '{kind}'"
            ))
        })
    };
    let all = match given.cast::<PyTuple>() {
        Ok(several) if takes_several => several.iter().map(|one| copy(&one)).collect::<PyResult<Vec<_>>>()?,
        _ => vec![copy(given)?],
    };
    if all.is_empty() {
        return Err(ferrio_cpython::error::<PyValueError>("Separator should contain at least one element"));
    }
    Separators::new(all.iter().map(Vec::as_slice))
        .ok_or_else(|| ferrio_cpython::error::<PyValueError>("Separator should be at least one-byte string"))
}

impl Body for ReadUntil {
    const OWNS_PY: bool = false;

    #[inline]
    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.given.is_some() {
            return Ok(None);
        }
        ready(self.reader.bind(py), |data, limit| {
            match Search::default().advance_to_byte(data, b'\n', usize::try_from(limit).unwrap_or(0)) {
                Found::Message { length } => Some(length),
                _ => None,
            }
        })
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if std::mem::take(&mut self.fresh) {
            if let Some(given) = self.given.take() {
                self.separators = Some(memory::boxed(py, separators(given.bind(py))?)?);
            }
            check_exception(self.reader.bind(py))?;
        }
        let reader = self.reader.bind(py).clone();
        let mut waiting = std::mem::take(&mut self.waiting);
        let step = drive(&reader, &mut waiting, "readuntil", input, || {
            let Self { search, separators, .. } = &mut *self;
            let outcome = reader.get().with_incoming(py, |incoming, frame| {
                let limit = usize::try_from(frame.limit).unwrap_or(0);
                let found = match separators {
                    Some(separators) => search.advance(incoming.as_slice(), separators, limit),
                    None => search.advance_to_byte(incoming.as_slice(), b'\n', limit),
                };
                match found {
                    Found::Message { length } => {
                        PyResult::Ok(Ok(Some(incoming.try_take(length, |data| memory::bytes(py, data))?.into_any())))
                    }
                    Found::TooLong { consumed } => Ok(Err(Failure::TooLong(consumed))),
                    Found::Overrun { consumed } => Ok(Err(Failure::Overrun(consumed))),
                    Found::Nothing if frame.eof => {
                        let partial = incoming.try_take(usize::MAX, |data| memory::copied(py, data))?;
                        Ok(Err(Failure::Incomplete(partial)))
                    }
                    Found::Nothing => Ok(Ok(None)),
                }
            })??;
            outcome.or_else(|failure| self.fail(py, failure))
        });
        self.waiting = waiting;
        step
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        self.waiting.traverse(visitor);
        self.given.iter().for_each(|given| visitor.show_owned(given));
    }
}
