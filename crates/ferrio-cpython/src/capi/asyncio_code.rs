//! The asyncio functions that ferrio's functions stand for: where in asyncio's files they are defined and wait.
//!
//! Reports of tasks and callbacks name such a place ("running at .../asyncio/tasks.py:718"), and programs' logs are
//! compared with those of asyncio. Invariant: no failure here raises. What cannot be found, in another version of
//! asyncio or while the interpreter finalizes, is left out.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFunction, PyTuple};

/// The modules that define asyncio's functions.
const MODULES: [&str; 15] = [
    "asyncio.tasks",
    "asyncio.futures",
    "asyncio.locks",
    "asyncio.queues",
    "asyncio.streams",
    "asyncio.timeouts",
    "asyncio.taskgroups",
    "asyncio.threads",
    "asyncio.base_events",
    "asyncio.unix_events",
    "asyncio.subprocess",
    "asyncio.base_subprocess",
    "asyncio.staggered",
    "asyncio.events",
    "asyncio.runners",
];

/// ferrio classes whose name differs from asyncio's.
const RENAMED: [(&str, &str); 2] =
    [("EventLoop", "SelectorEventLoop"), ("SubprocessTransport", "BaseSubprocessTransport")];

/// Functions that wait in the first of their awaits; others do in the last.
const WAIT_FIRST: [&str; 2] = ["Condition.wait", "Server.serve_forever"];

/// What is needed of asyncio, taken before ferrio or other code replaces it.
struct Originals {
    namespaces: Vec<Py<PyDict>>,
    /// `dis.get_instructions`.
    instructions: Py<PyAny>,
    /// `traceback.FrameSummary`.
    summary: Py<PyAny>,
    /// Results so far: a code object and the line where it waits, by ferrio's name.
    known: Py<PyDict>,
}

static ORIGINALS: PyOnceLock<Originals> = PyOnceLock::new();

/// Reads the originals when ferrio is imported; all are in modules that asyncio imports.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    ORIGINALS
        .get_or_try_init(py, || {
            let copied = |name: &&str| crate::capi::modules::module(py, *name)?.dict().copy().map(Bound::unbind);
            Ok(Originals {
                namespaces: MODULES.iter().map(copied).collect::<PyResult<_>>()?,
                instructions: crate::capi::modules::module(py, name!("dis"))?
                    .getattr(name!("get_instructions"))?
                    .unbind(),
                summary: crate::capi::modules::module(py, name!("traceback"))?.getattr(name!("FrameSummary"))?.unbind(),
                known: PyDict::new(py).unbind(),
            })
        })
        .map(drop)
}

/// asyncio's code for ferrio's function `name` (as in `Queue.get`), and the line at which it waits.
pub(crate) fn of<'py>(py: Python<'py>, name: &str) -> Option<(Bound<'py, PyAny>, u32)> {
    let originals = ORIGINALS.get(py)?;
    let known = originals.known.bind(py);
    if let Some(found) = known.get_item(name).ok()? {
        return found.extract().ok();
    }
    let code = originals.code(py, name)?;
    let line_number =
        originals.await_line(&code, name).or_else(|| code.getattr(name!("co_firstlineno")).ok()?.extract().ok());
    let found = (code, line_number?).into_pyobject(py).ok()?;
    known.set_item(name, &found).ok()?;
    found.extract().ok()
}

/// The qualified name of asyncio's coroutine.
pub(crate) fn qualified_name(py: Python<'_>, name: &'static str) -> std::borrow::Cow<'static, str> {
    let renamed = RENAMED.iter().any(|(ours, _)| name.split('.').next() == Some(ours));
    let theirs = || of(py, name)?.0.getattr(name!("co_qualname")).ok()?.extract::<String>().ok();
    if renamed && let Some(theirs) = theirs() { theirs.into() } else { name.into() }
}

/// A function with the source location of asyncio's callback `name`, for code that reads the location. It is not for
/// calling.
#[must_use]
pub fn function<'py>(py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
    let (code, _) = of(py, name)?;
    let free = code.getattr(name!("co_freevars")).ok()?.len().ok()?;
    let mut cells = Vec::new();
    for _ in 0..free {
        // SAFETY: an empty cell; a new reference, or null with an exception set.
        let cell = unsafe { ffi::PyCell_New(std::ptr::null_mut()) };
        // SAFETY: as stated above.
        cells.push(unsafe { Bound::from_owned_ptr_or_err(py, cell) }.ok()?);
    }
    let closure = PyTuple::new(py, cells).ok()?;
    py.get_type::<PyFunction>().call1((code, PyDict::new(py), py.None(), py.None(), closure)).ok()
}

/// The entry of asyncio's function `name` in a stack, while it calls the function that it names `called`.
pub(crate) fn summary<'py>(py: Python<'py>, name: &str, called: &str) -> Option<Bound<'py, PyAny>> {
    let originals = ORIGINALS.get(py)?;
    let known = originals.known.bind(py);
    if let Some(summary) = known.get_item((name, called)).ok()? {
        return Some(summary);
    }
    let code = originals.code(py, name)?;
    let calls = |instruction: &Bound<'_, PyAny>| instruction.getattr(name!("argval"))?.eq(called);
    let line_number = *originals.lines(&code, calls)?.first()?;
    let place = (code.getattr(name!("co_filename")).ok()?, line_number, code.getattr(name!("co_name")).ok()?);
    // It reads the line at once: when it is shown, it may be too late to read files.
    let summary = originals.summary.bind(py).call1(place).ok()?;
    known.set_item((name, called), &summary).ok()?;
    Some(summary)
}

impl Originals {
    fn code<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
        let mut parts = name.split('.');
        let head = parts.next()?;
        let head = RENAMED.iter().find(|(ours, _)| *ours == head).map_or(head, |(_, theirs)| theirs);
        let mut found = self.namespaces.iter().find_map(|names| names.bind(py).get_item(head).ok()?)?;
        while let Some(part) = parts.next() {
            found = match part {
                "<locals>" => nested(&found.getattr(name!("__code__")).ok()?, parts.next()?)?,
                _ => found.getattr(part).ok()?,
            };
        }
        if found.hasattr(name!("co_code")).ok()? { Some(found) } else { found.getattr(name!("__code__")).ok() }
    }

    /// The line of the await.
    fn await_line(&self, code: &Bound<'_, PyAny>, name: &str) -> Option<u32> {
        let lines = self.lines(code, |instruction| instruction.getattr(name!("opname"))?.eq("SEND"))?;
        // Before 3.12 it waits for a future of its own first, and cancels in the later awaits.
        if name == "wait_for" && code.py().version_info() < (3, 12) {
            return lines.get(2).copied();
        }
        if WAIT_FIRST.contains(&name) { lines.first().copied() } else { lines.last().copied() }
    }

    /// The lines of the instructions that are `wanted`, in order.
    fn lines(&self, code: &Bound<'_, PyAny>, wanted: impl Fn(&Bound<'_, PyAny>) -> PyResult<bool>) -> Option<Vec<u32>> {
        let mut lines: Vec<u32> = Vec::new();
        for instruction in self.instructions.bind(code.py()).call1((code,)).ok()?.try_iter().ok()? {
            let instruction = instruction.ok()?;
            if wanted(&instruction).ok()? {
                lines
                    .push(instruction.getattr(name!("positions")).ok()?.getattr(name!("lineno")).ok()?.extract().ok()?);
            }
        }
        lines.sort_unstable();
        lines.dedup();
        Some(lines)
    }
}

/// The code of a function defined in another one.
fn nested<'py>(code: &Bound<'py, PyAny>, name: &str) -> Option<Bound<'py, PyAny>> {
    let named = |constant: &Bound<'py, PyAny>| {
        constant.getattr_opt(name!("co_name")).ok().flatten().is_some_and(|own| own.eq(name).unwrap_or(false))
    };
    code.getattr(name!("co_consts")).ok()?.try_iter().ok()?.filter_map(Result::ok).find(named)
}
