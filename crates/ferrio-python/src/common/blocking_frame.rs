//! Calls that block for a moment, below a Python frame such as asyncio's has there.
//!
//! Tools that forbid blocking calls under a loop, blockbuster and its like, excuse those of asyncio's own by the file and
//! the name of a function above them, as `asyncio/base_events.py` and `subprocess_exec`. Rust has no frames. So the few
//! that still go through Python are made from a function of that file, name and line whose body is the call alone.

use ferrio_cpython::capi::memory;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

/// A method of `asyncio.base_events.BaseEventLoop`, for what it calls.
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
    /// What the function raises.
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
    let module = py.import(name!("asyncio.base_events"))?;
    let name = frame.name();
    let code = module.getattr(name!("BaseEventLoop"))?.getattr(name)?.getattr(name!("__code__"))?;
    // A traceback quotes the method's first line.
    let line_number: usize = code.getattr(name!("co_firstlineno"))?.extract()?;
    let blank = "\n".repeat(line_number.saturating_sub(1));
    let source = format!("{blank}def {name}(function, arguments, keywords): return function(*arguments, **keywords)\n");
    let builtins = py.import(name!("builtins"))?;
    let code = builtins.call_method1(name!("compile"), (source, code.getattr(name!("co_filename"))?, "exec"))?;
    let namespace = memory::dict(py)?;
    namespace.set_item(name!("__name__"), module.name()?)?;
    builtins.call_method1(name!("exec"), (code, &namespace))?;
    namespace.as_any().get_item(name)
}
