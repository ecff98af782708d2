//! Asynchronous generators: the interpreter's hooks and `shutdown_asyncgens`.

use ferrio_cpython::capi::memory;
use ferrio_cpython::{GilCell, GilFlag};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::async_block::{Channel, Coroutine};
use crate::common::imports;
use crate::event_loop::{Loop, base};
use crate::tasks::gather_all;

/// The asynchronous generators that a loop is iterating.
#[derive(Default)]
pub(crate) struct AsyncGenerators {
    /// A `weakref.WeakSet`, created when the first generator is iterated.
    alive: GilCell<Option<Py<PyAny>>>,
    /// `shutdown_asyncgens` was called.
    shut_down: GilFlag,
}

impl AsyncGenerators {
    /// The set of generators; None before the first one.
    pub(crate) fn alive<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.alive.with(py, |alive| alive.as_ref().map(|alive| alive.bind(py).clone()))
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.alive.traverse(visit, |alive| visit.call(alive)).transpose().map(drop)
    }
}

#[pymethods]
impl Loop {
    /// Close all asynchronous generators that are being iterated.
    fn shutdown_asyncgens(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.shutdown_asyncgens", |channel| shutdown(this, channel))
    }

    fn _asyncgen_firstiter_hook(slf: &Bound<'_, Self>, agen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let generators = &slf.get().asyncgens;
        if generators.shut_down.get() {
            let text =
                format!("asynchronous generator {} was scheduled after loop.shutdown_asyncgens() call", agen.repr()?);
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("source"), slf)?;
            imports::warn_now(py)?.call((text, imports::resource_warning(py)?), Some(&keywords))?;
        }
        let alive = if let Some(alive) = generators.alive(py) {
            alive
        } else {
            let alive = imports::weak_set(py)?.call0()?;
            generators.alive.with(py, |place| *place = Some(alive.clone().unbind()));
            alive
        };
        alive.call_method1(name!("add"), (agen,))?;
        Ok(())
    }

    fn _asyncgen_finalizer_hook(slf: &Bound<'_, Self>, agen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Some(alive) = slf.get().asyncgens.alive(py) {
            alive.call_method1(name!("discard"), (agen,))?;
        }
        if !base(slf).closed.get() {
            let closing = agen.call_method0(name!("aclose"))?;
            slf.call_method1(name!("call_soon_threadsafe"), (slf.getattr(name!("create_task"))?, closing))?;
        }
        Ok(())
    }
}

async fn shutdown(this: Py<Loop>, channel: Channel) -> PyResult<()> {
    let this = channel.own(this);
    let closing = Python::attach(|py| {
        let generators = &this.get().asyncgens;
        generators.shut_down.set(true);
        let Some(alive) = generators.alive(py) else { return Ok::<_, PyErr>(None) };
        if alive.is_empty()? {
            return Ok(None);
        }
        let closing = memory::empty_list(py)?;
        for generator in alive.try_iter()? {
            closing.append(generator?)?;
        }
        alive.call_method0(name!("clear"))?;
        let mut ends = Vec::new();
        for generator in &closing {
            ends.push(generator.call_method0(name!("aclose"))?);
        }
        let outcomes = gather_all(&memory::tuple(py, ends)?, true)?;
        Ok(Some((closing.unbind(), outcomes.unbind())))
    })?;
    let Some((closing, outcomes)) = closing else {
        return Ok(());
    };
    let closing = channel.own(closing);
    let results = channel.wait(outcomes).await?;
    Python::attach(|py| {
        for (result, generator) in results.bind(py).try_iter()?.zip(closing.bind(py).iter()) {
            let result = result?;
            if result.is_instance_of::<PyException>() {
                let context = memory::dict(py)?;
                let message =
                    format!("an error occurred during closing of asynchronous generator {}", generator.repr()?);
                context.set_item(name!("message"), memory::Text(message))?;
                context.set_item(name!("exception"), result)?;
                context.set_item(name!("asyncgen"), generator)?;
                this.bind(py).call_method1(name!("call_exception_handler"), (context,))?;
            }
        }
        Ok(())
    })
}
