//! The bodies of `read`, `readexactly`, `readline`, `readuntil` and `__anext__`.

use ferrio_cpython::coroutine::{Awaiting, Body, Visitor};
use ferrio_cpython::held::Held;
use ferrio_cpython::raising::raised;
use ferrio_cpython::resume::Step;
use ferrio_engine::{Found, Search, Separators};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyStopAsyncIteration, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::feeding;
use super::lines::drop_line;
use super::reader::StreamReader;
use crate::imports;

/// One who waits for data.
#[derive(Default)]
struct Waiting(Option<Awaiting>);

impl Waiting {
    /// `_wait_for_data`, its first half.
    fn begin(&mut self, reader: &Bound<'_, StreamReader>, function: &str) -> PyResult<()> {
        let py = reader.py();
        let this = reader.get();
        let (waited_for, eof, paused) = this.state.with(py, |state| (state.waiter.is_some(), state.eof, state.paused));
        if waited_for {
            return Err(PyRuntimeError::new_err(format!(
                "{function}() called while another coroutine is already waiting for incoming data"
            )));
        }
        if eof {
            return Err(PyAssertionError::new_err("_wait_for_data after EOF"));
        }
        if paused {
            feeding::resume(py, this)?;
        }
        let owner = this.field(py, |state| &state.owner).unwrap_or_else(|| py.None().into_bound(py));
        let future = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        self.0 = Some(Awaiting::new(&future)?);
        this.put(py, |state| &mut state.waiter, Some(future));
        Ok(())
    }

    /// The second half: what is yielded, or None when the wait is over.
    #[inline]
    fn go_on<'py>(
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

    fn traverse(&self, visitor: &Visitor<'_>) {
        self.0.iter().for_each(|awaiting| awaiting.traverse(visitor));
    }
}

/// Drives a reading: `attempt` gives the result once it is there.
#[inline]
fn drive<'py>(
    reader: &Bound<'py, StreamReader>,
    waiting: &mut Waiting,
    function: &str,
    mut input: PyResult<Bound<'py, PyAny>>,
    mut attempt: impl FnMut() -> PyResult<Option<Bound<'py, PyAny>>>,
) -> PyResult<Step<'py>> {
    loop {
        if let Some(yielded) = waiting.go_on(reader, input)? {
            return Ok(Step::Yielded(yielded));
        }
        if let Some(value) = attempt()? {
            feeding::maybe_resume(reader.py(), reader.get())?;
            return Ok(Step::Returned(value));
        }
        waiting.begin(reader, function)?;
        input = Ok(reader.py().None().into_bound(reader.py()));
    }
}

/// What a reading returns that need not wait: `length` says how much there is of it, if all is there.
#[inline]
fn ready<'py>(
    reader: &Bound<'py, StreamReader>,
    length: impl FnOnce(&[u8], i64) -> Option<usize>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = reader.py();
    let data = reader.get().state.with(py, |state| {
        if state.shared.is_some() || state.exception.is_some() {
            return None;
        }
        let length = length(state.incoming.as_slice(), state.limit)?;
        Some(state.incoming.take(length, |bytes| PyBytes::new(py, bytes).into_any()))
    });
    if data.is_some() {
        feeding::maybe_resume(py, reader.get())?;
    }
    Ok(data)
}

#[inline]
fn check_exception(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    match reader.get().field(reader.py(), |state| &state.exception) {
        Some(exception) => Err(raised(&exception)),
        None => Ok(()),
    }
}

#[cold]
fn incomplete(py: Python<'_>, partial: Vec<u8>, expected: Option<i64>) -> PyErr {
    let made = imports::incomplete_read_error(py).and_then(|class| class.call1((PyBytes::new(py, &partial), expected)));
    made.map_or_else(|error| error, |error| raised(&error))
}

/// `read`.
pub(super) struct Read {
    reader: Held<StreamReader>,
    wanted: i64,
    waiting: Waiting,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits once.
    Some,
    /// Waits until the end; the blocks read so far.
    All(Vec<Held>, Option<Awaiting>),
}

impl Read {
    #[inline]
    pub(super) fn new(reader: &Bound<'_, StreamReader>, wanted: i64) -> Self {
        Self { reader: Held::of(reader), wanted, waiting: Waiting::default(), stage: Stage::New }
    }

    /// Until end of file, block by block, as asyncio's `read` calls itself.
    #[cold]
    fn all<'py>(&mut self, py: Python<'py>, mut input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let reader = self.reader.bind(py);
        let Stage::All(blocks, block) = &mut self.stage else { return Ok(Step::Returned(py.None().into_bound(py))) };
        loop {
            let awaiting = if let Some(awaiting) = block {
                awaiting
            } else {
                let limit = reader.get().state.with(py, |state| state.limit);
                block.insert(Awaiting::new(&reader.call_method1(pyo3::intern!(py, "read"), (limit,))?)?)
            };
            let data = match awaiting.resume(py, input)? {
                Step::Yielded(yielded) => return Ok(Step::Yielded(yielded)),
                Step::Returned(data) => data,
            };
            *block = None;
            if !data.is_truthy()? {
                let list = PyList::new(py, blocks.iter().map(|block| block.bind(py)))?;
                return PyBytes::new(py, b"").call_method1("join", (list,)).map(Step::Returned);
            }
            blocks.push(data.into());
            input = Ok(py.None().into_bound(py));
        }
    }
}

impl Body for Read {
    const OWNS_PY: bool = false;

    #[inline]
    fn at_once<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let most = usize::try_from(self.wanted).unwrap_or(0);
        ready(self.reader.bind(py), |data, _| (most > 0 && !data.is_empty()).then_some(most))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match self.stage {
            Stage::New => {
                let reader = self.reader.bind(py);
                check_exception(reader)?;
                if self.wanted == 0 {
                    return Ok(Step::Returned(PyBytes::new(py, b"").into_any()));
                }
                if self.wanted < 0 {
                    self.stage = Stage::All(Vec::new(), None);
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
            let look = |bytes: &[u8]| PyBytes::new(py, bytes).into_any();
            let data = reader.get().with_incoming(py, |incoming, frame| {
                (waited || frame.eof || !incoming.is_empty()).then(|| incoming.take(count, look))
            });
            waited = true;
            data
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_held(&self.reader);
        self.waiting.traverse(visitor);
        if let Stage::All(blocks, block) = &self.stage {
            for block in blocks {
                visitor.show_held(block);
            }
            if let Some(block) = block {
                block.traverse(visitor);
            }
        }
    }
}

/// `readexactly`.
pub(super) struct ReadExactly {
    reader: Held<StreamReader>,
    wanted: i64,
    waiting: Waiting,
    fresh: bool,
}

impl ReadExactly {
    #[inline]
    pub(super) fn new(reader: &Bound<'_, StreamReader>, wanted: i64) -> Self {
        Self { reader: Held::of(reader), wanted, waiting: Waiting::default(), fresh: true }
    }
}

impl Body for ReadExactly {
    const OWNS_PY: bool = false;

    #[inline]
    fn at_once<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(wanted) = usize::try_from(self.wanted) else { return Ok(None) };
        ready(self.reader.bind(py), |data, _| (wanted > 0 && data.len() >= wanted).then_some(wanted))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let reader = self.reader.bind(py);
        if std::mem::take(&mut self.fresh) {
            if self.wanted < 0 {
                return Err(PyValueError::new_err("readexactly size can not be less than zero"));
            }
            check_exception(reader)?;
            if self.wanted == 0 {
                return Ok(Step::Returned(PyBytes::new(py, b"").into_any()));
            }
        }
        let count = usize::try_from(self.wanted).unwrap_or(usize::MAX);
        drive(reader, &mut self.waiting, "readexactly", input, || {
            let outcome = reader.get().with_incoming(py, |incoming, frame| {
                if incoming.len() >= count {
                    Ok(Some(incoming.take(count, |bytes| PyBytes::new(py, bytes).into_any())))
                } else if frame.eof {
                    Err(incoming.take(usize::MAX, <[u8]>::to_vec))
                } else {
                    Ok(None)
                }
            })?;
            outcome.map_err(|partial| incomplete(py, partial, Some(self.wanted)))
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_held(&self.reader);
        self.waiting.traverse(visitor);
    }
}

/// `readuntil` and `readline`.
pub(super) struct ReadUntil {
    reader: Held<StreamReader>,
    waiting: Waiting,
    search: Search,
    /// As given, until the first resumption; None for a newline.
    given: Option<Held>,
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
    pub(super) fn line(reader: &Bound<'_, StreamReader>) -> Self {
        Self {
            reader: Held::of(reader),
            waiting: Waiting::default(),
            search: Search::default(),
            given: None,
            separators: None,
            is_line: true,
            fresh: true,
        }
    }

    pub(super) fn new(reader: &Bound<'_, StreamReader>, separator: Option<Bound<'_, PyAny>>) -> Self {
        Self { given: separator.map(Held::from), is_line: false, ..Self::line(reader) }
    }

    fn fail<'py>(&self, py: Python<'py>, failure: Failure) -> PyResult<Option<Bound<'py, PyAny>>> {
        const TOO_LONG: &str = "Separator is found, but chunk is longer than limit";
        const OVERRUN: &str = "Separator is not found, and chunk exceed the limit";
        let (text, consumed) = match failure {
            Failure::Incomplete(partial) if self.is_line => return Ok(Some(PyBytes::new(py, &partial).into_any())),
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

/// The separators of a `readuntil`.
fn separators(given: &Bound<'_, PyAny>) -> PyResult<Separators> {
    let py = given.py();
    let takes_several = imports::python_version(py) >= (3, 13);
    let copy = |object: &Bound<'_, PyAny>| -> PyResult<Vec<u8>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(bytes.as_bytes().to_vec());
        }
        let buffer = pyo3::buffer::PyBuffer::<u8>::get(object);
        buffer.and_then(|buffer| buffer.to_vec(py)).map_err(|_| {
            let kind = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!("argument should be integer or bytes-like object, not '{kind}'"))
        })
    };
    let all = match given.cast::<PyTuple>() {
        Ok(several) if takes_several => several.iter().map(|one| copy(&one)).collect::<PyResult<Vec<_>>>()?,
        _ => vec![copy(given)?],
    };
    if all.is_empty() {
        return Err(PyValueError::new_err("Separator should contain at least one element"));
    }
    Separators::new(all.iter().map(Vec::as_slice))
        .ok_or_else(|| PyValueError::new_err("Separator should be at least one-byte string"))
}

impl Body for ReadUntil {
    const OWNS_PY: bool = false;

    #[inline]
    fn at_once<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.given.is_some() {
            return Ok(None);
        }
        ready(self.reader.bind(py), |data, limit| {
            match Search::default().go_on_to_byte(data, b'\n', usize::try_from(limit).unwrap_or(0)) {
                Found::Message { length } => Some(length),
                _ => None,
            }
        })
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if std::mem::take(&mut self.fresh) {
            if let Some(given) = self.given.take() {
                self.separators = Some(Box::new(separators(given.bind(py))?));
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
                    Some(separators) => search.go_on(incoming.as_slice(), separators, limit),
                    None => search.go_on_to_byte(incoming.as_slice(), b'\n', limit),
                };
                match found {
                    Found::Message { length } => {
                        Ok(Some(incoming.take(length, |bytes| PyBytes::new(py, bytes).into_any())))
                    }
                    Found::TooLong { consumed } => Err(Failure::TooLong(consumed)),
                    Found::Overrun { consumed } => Err(Failure::Overrun(consumed)),
                    Found::Nothing if frame.eof => Err(Failure::Incomplete(incoming.take(usize::MAX, <[u8]>::to_vec))),
                    Found::Nothing => Ok(None),
                }
            })?;
            outcome.or_else(|failure| self.fail(py, failure))
        });
        self.waiting = waiting;
        step
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_held(&self.reader);
        self.waiting.traverse(visitor);
        self.given.iter().for_each(|given| visitor.show_held(given));
    }
}

/// `_wait_for_data`, for programs that read in ways of their own.
pub(super) struct WaitForData {
    reader: Held<StreamReader>,
    function: Option<String>,
    waiting: Waiting,
}

impl WaitForData {
    pub(super) fn new(reader: &Bound<'_, StreamReader>, function: String) -> Self {
        Self { reader: Held::of(reader), function: Some(function), waiting: Waiting::default() }
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
        let yielded = self.waiting.go_on(reader, input)?;
        Ok(yielded.map_or_else(|| Step::Returned(py.None().into_bound(py)), Step::Yielded))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_held(&self.reader);
        self.waiting.traverse(visitor);
    }
}

/// `__anext__`: a line, or the end.
pub(super) struct Next {
    reader: Held<StreamReader>,
    line: Option<Awaiting>,
}

impl Next {
    pub(super) fn new(reader: &Bound<'_, StreamReader>) -> Self {
        Self { reader: Held::of(reader), line: None }
    }
}

impl Body for Next {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let line = if let Some(line) = &mut self.line {
            line
        } else {
            let line = self.reader.bind(py).call_method0(pyo3::intern!(py, "readline"))?;
            self.line.insert(Awaiting::new(&line)?)
        };
        match line.resume(py, input)? {
            Step::Returned(line) if line.cast::<PyBytes>().is_ok_and(|line| line.as_bytes().is_empty()) => {
                Err(PyStopAsyncIteration::new_err(()))
            }
            step => Ok(step),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_held(&self.reader);
        self.line.iter().for_each(|line| line.traverse(visitor));
    }
}
