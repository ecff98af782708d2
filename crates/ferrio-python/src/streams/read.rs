//! The bodies of `read`, `readexactly` and `__anext__`.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::exceptions::{PyStopAsyncIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};

use super::reader::StreamReader;
use super::wait_for_data::{Waiting, check_exception, drive, incomplete, ready};

/// The body of `read`.
pub(super) struct Read {
    reader: OwnedRef<StreamReader>,
    wanted: i64,
    waiting: Waiting,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits once.
    Some,
    /// Waits until the end of file. Boxed, so that a coroutine that waits once needs no memory but its own.
    All(Box<Blocks>),
}

#[derive(Default)]
struct Blocks {
    read: Vec<OwnedRef>,
    next: Option<Awaiting>,
}

impl Read {
    #[inline]
    pub(super) fn new(reader: &Bound<'_, StreamReader>, wanted: i64) -> Self {
        Self { reader: OwnedRef::of(reader), wanted, waiting: Waiting::default(), stage: Stage::New }
    }

    /// Reads until the end of file, block by block, as asyncio's `read` calls itself.
    #[cold]
    fn all<'py>(&mut self, py: Python<'py>, mut input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let reader = self.reader.bind(py);
        let Stage::All(blocks) = &mut self.stage else { return Ok(Step::Returned(py.None().into_bound(py))) };
        let Blocks { read, next } = &mut **blocks;
        loop {
            let awaiting = if let Some(awaiting) = next {
                awaiting
            } else {
                let limit = reader.get().given_limit(py);
                next.insert(Awaiting::new(&reader.call_method1(pyo3::intern!(py, "read"), (limit,))?)?)
            };
            let data = match awaiting.resume(py, input)? {
                Step::Yielded(yielded) => return Ok(Step::Yielded(yielded)),
                Step::Returned(data) => data,
            };
            *next = None;
            if !data.is_truthy()? {
                let list = memory::list(py, read.iter().map(|block| block.bind(py)))?;
                return memory::bytes(py, b"")?.call_method1(name!("join"), (list,)).map(Step::Returned);
            }
            read.push(data.into());
            input = Ok(py.None().into_bound(py));
        }
    }
}

impl Body for Read {
    const OWNS_PY: bool = false;

    #[inline]
    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let most = usize::try_from(self.wanted).unwrap_or(0);
        ready(self.reader.bind(py), |data, _| (most > 0 && !data.is_empty()).then_some(most))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match self.stage {
            Stage::New => {
                let reader = self.reader.bind(py);
                check_exception(reader)?;
                if self.wanted == 0 {
                    return Ok(Step::Returned(memory::bytes(py, b"")?.into_any()));
                }
                if self.wanted < 0 {
                    self.stage = Stage::All(Box::default());
                    return self.all(py, input);
                }
                self.stage = Stage::Some;
            }
            Stage::Some => {}
            Stage::All(..) => return self.all(py, input),
        }
        let reader = self.reader.bind(py);
        let count = usize::try_from(self.wanted).unwrap_or(0);
        let mut waited = self.waiting.0.is_some();
        drive(reader, &mut self.waiting, "read", input, || {
            let look = |data: &[u8]| memory::bytes(py, data).map(Bound::into_any);
            let data = reader.get().with_incoming(py, |incoming, frame| {
                (waited || frame.eof || !incoming.is_empty()).then(|| incoming.try_take(count, look))
            })?;
            waited = true;
            data.transpose()
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        self.waiting.traverse(visitor);
        if let Stage::All(blocks) = &self.stage {
            blocks.read.iter().for_each(|block| visitor.show_owned(block));
            blocks.next.iter().for_each(|next| next.traverse(visitor));
        }
    }
}

/// The body of `readexactly`.
pub(super) struct ReadExactly {
    reader: OwnedRef<StreamReader>,
    wanted: i64,
    waiting: Waiting,
    fresh: bool,
}

impl ReadExactly {
    #[inline]
    pub(super) fn new(reader: &Bound<'_, StreamReader>, wanted: i64) -> Self {
        Self { reader: OwnedRef::of(reader), wanted, waiting: Waiting::default(), fresh: true }
    }
}

impl Body for ReadExactly {
    const OWNS_PY: bool = false;

    #[inline]
    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(wanted) = usize::try_from(self.wanted) else { return Ok(None) };
        ready(self.reader.bind(py), |data, _| (wanted > 0 && data.len() >= wanted).then_some(wanted))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let reader = self.reader.bind(py);
        if std::mem::take(&mut self.fresh) {
            if self.wanted < 0 {
                return Err(ferrio_cpython::error::<PyValueError>("readexactly size can not be less than zero"));
            }
            check_exception(reader)?;
            if self.wanted == 0 {
                return Ok(Step::Returned(memory::bytes(py, b"")?.into_any()));
            }
        }
        let count = usize::try_from(self.wanted).unwrap_or(usize::MAX);
        drive(reader, &mut self.waiting, "readexactly", input, || {
            let outcome = reader.get().with_incoming(py, |incoming, frame| {
                if incoming.len() >= count {
                    PyResult::Ok(Ok(Some(incoming.try_take(count, |data| memory::bytes(py, data))?.into_any())))
                } else if frame.eof {
                    Ok(Err(incoming.try_take(usize::MAX, |data| memory::copied(py, data))?))
                } else {
                    Ok(Ok(None))
                }
            })??;
            outcome.map_err(|partial| incomplete(py, partial, Some(PyInt::new(py, self.wanted).into_any())))
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        self.waiting.traverse(visitor);
    }
}

/// The body of `__anext__`: a line, or the end of the iteration.
pub(super) struct Next {
    reader: OwnedRef<StreamReader>,
    next_line: Option<Awaiting>,
}

impl Next {
    pub(super) fn new(reader: &Bound<'_, StreamReader>) -> Self {
        Self { reader: OwnedRef::of(reader), next_line: None }
    }
}

impl Body for Next {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let next_line = if let Some(next_line) = &mut self.next_line {
            next_line
        } else {
            let next_line = self.reader.bind(py).call_method0(pyo3::intern!(py, "readline"))?;
            self.next_line.insert(Awaiting::new(&next_line)?)
        };
        match next_line.resume(py, input)? {
            Step::Returned(next_line)
                if next_line.cast::<PyBytes>().is_ok_and(|next_line| next_line.as_bytes().is_empty()) =>
            {
                Err(ferrio_cpython::error::<PyStopAsyncIteration>(()))
            }
            step => Ok(step),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.reader);
        self.next_line.iter().for_each(|next_line| next_line.traverse(visitor));
    }
}
