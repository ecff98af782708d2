//! Calls that block briefly, below a Python frame that looks like asyncio's.
//!
//! Tools that forbid blocking calls in a loop, such as blockbuster, make exceptions for asyncio's own calls by the file
//! and name of a function above them, such as `asyncio/base_events.py` and `subprocess_exec`. Rust functions have no
//! Python frames. The few blocking calls that go through Python are therefore made from a function with that file, name
//! and line whose body is only the call.

use ferrio_cpython::capi::memory;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

/// The method of `asyncio.base_events.BaseEventLoop` that a call belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Frame {
    SubprocessExec,
    SubprocessShell,
    ShutdownDefaultExecutor,
}

impl Frame {
    const ALL: [Self; 3] = [Self::SubprocessExec, Self::SubprocessShell, Self::ShutdownDefaultExecutor];

    const fn name(self) -> &'static str {
        match self {
            Self::SubprocessExec => "subprocess_exec",
            Self::SubprocessShell => "subprocess_shell",
            Self::ShutdownDefaultExecutor => "shutdown_default_executor",
        }
    }

    /// Calls `function` below such a frame.
    ///
    /// # Errors
    /// The exception that the function raises.
    pub(crate) fn call<'py>(
        self,
        function: &Bound<'py, PyAny>,
        arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error: Into<PyErr>>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let arguments = arguments.into_pyobject(py).map_err(Into::into)?;
        let empty = memory::dict(py)?;
        functions(py)?.get_item(self as usize)?.call1((function, arguments, keywords.unwrap_or(&empty)))
    }
}

/// The functions, in the order of `Frame::ALL`.
fn functions(py: Python<'_>) -> PyResult<&Bound<'_, PyTuple>> {
    static CELL: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let make = || {
        let made: Vec<_> = Frame::ALL.into_iter().map(|frame| make(py, frame)).collect::<PyResult<_>>()?;
        memory::tuple(py, made).map(Bound::unbind)
    };
    Ok(CELL.get_or_try_init(py, make)?.bind(py))
}

fn make(py: Python<'_>, frame: Frame) -> PyResult<Bound<'_, PyAny>> {
    let module = ferrio_cpython::module(py, name!("asyncio.base_events"))?;
    let name = frame.name();
    let code = module.getattr(name!("BaseEventLoop"))?.getattr(name)?.getattr(name!("__code__"))?;
    // A traceback shows the method's first line.
    let line_number: usize = code.getattr(name!("co_firstlineno"))?.extract()?;
    let blank = "\n".repeat(line_number.saturating_sub(1));
    let source = format!("{blank}def {name}(function, arguments, keywords): return function(*arguments, **keywords)\n");
    let builtins = ferrio_cpython::module(py, name!("builtins"))?;
    let code = builtins.call_method1(name!("compile"), (source, code.getattr(name!("co_filename"))?, "exec"))?;
    let namespace = memory::dict(py)?;
    namespace.set_item(name!("__name__"), module.name()?)?;
    builtins.call_method1(name!("exec"), (code, &namespace))?;
    namespace.as_any().get_item(name)
}
