//! Asynchronous generators: the interpreter's hooks and `shutdown_asyncgens`.

use ferrio_cpython::GilFlag;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::coroutine::{Channel, Coroutine};
use crate::event_loop::{Loop, base};
use crate::imports;

/// The generators being iterated in a loop.
pub(crate) struct AsyncGenerators {
    /// A `weakref.WeakSet`.
    alive: Py<PyAny>,
    /// `shutdown_asyncgens` was called.
    shut_down: GilFlag,
}

impl AsyncGenerators {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self { alive: imports::weak_set(py)?.call0()?.unbind(), shut_down: GilFlag::default() })
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.alive)
    }
}

#[pymethods]
impl Loop {
    /// Close all asynchronous generators that are being iterated.
    fn shutdown_asyncgens(slf: &Bound<'_, Self>) -> PyResult<Py<Coroutine>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.shutdown_asyncgens", |channel| shutdown(this, channel))
    }

    fn _asyncgen_firstiter_hook(slf: &Bound<'_, Self>, agen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let generators = &slf.get().asyncgens;
        if generators.shut_down.get() {
            let text = format!(
                "asynchronous generator {} was scheduled after loop.shutdown_asyncgens() call",
                agen.repr()?
            );
            let keywords = PyDict::new(py);
            keywords.set_item("source", slf)?;
            imports::warn(py)?.call((text, imports::resource_warning(py)?), Some(&keywords))?;
        }
        generators.alive.bind(py).call_method1("add", (agen,))?;
        Ok(())
    }

    fn _asyncgen_finalizer_hook(slf: &Bound<'_, Self>, agen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get().asyncgens.alive.bind(py).call_method1("discard", (agen,))?;
        if !base(slf).closed.get() {
            let closing = agen.call_method0("aclose")?;
            slf.call_method1("call_soon_threadsafe", (slf.getattr("create_task")?, closing))?;
        }
        Ok(())
    }
}

async fn shutdown(this: Py<Loop>, channel: Channel) -> PyResult<()> {
    let closing = Python::attach(|py| {
        let generators = &this.get().asyncgens;
        generators.shut_down.set(true);
        let alive = generators.alive.bind(py);
        if alive.is_empty()? {
            return Ok::<_, PyErr>(None);
        }
        let closing = PyList::empty(py);
        for generator in alive.try_iter()? {
            closing.append(generator?)?;
        }
        alive.call_method0("clear")?;
        let mut ends = Vec::new();
        for generator in &closing {
            ends.push(generator.call_method0("aclose")?);
        }
        let keywords = PyDict::new(py);
        keywords.set_item("return_exceptions", true)?;
        let gathered = imports::gather(py)?.call(PyTuple::new(py, ends)?, Some(&keywords))?;
        Ok(Some((closing.unbind(), gathered.unbind())))
    })?;
    let Some((closing, gathered)) = closing else {
        return Ok(());
    };
    let results = channel.wait(gathered).await?;
    Python::attach(|py| {
        for (result, generator) in results.bind(py).try_iter()?.zip(closing.bind(py).iter()) {
            let result = result?;
            if result.is_instance_of::<PyException>() {
                let context = PyDict::new(py);
                let message =
                    format!("an error occurred during closing of asynchronous generator {}", generator.repr()?);
                context.set_item("message", message)?;
                context.set_item("exception", result)?;
                context.set_item("asyncgen", generator)?;
                this.bind(py).call_method1("call_exception_handler", (context,))?;
            }
        }
        Ok(())
    })
}
