//! `get_async_backend`, which each of anyio's functions calls first.

use ferrio_cpython::objects::current::{CurrentTaskCall, running_task};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::backend;

/// What anyio asks sniffio with, if that is installed.
struct Sniffio {
    /// The names of anyio's module in which it has sniffio, or None.
    asking: Py<PyDict>,
    /// sniffio, and its function as it was at first.
    found: Option<(Py<PyAny>, Py<PyAny>)>,
}

static SNIFFIO: PyOnceLock<Sniffio> = PyOnceLock::new();

/// The backend class by name, or for the code that runs: on a ferrio loop that is known without asking.
#[pyfunction]
#[pyo3(name = "_anyio_get_async_backend", signature = (asynclib_name=None))]
pub(crate) fn get_async_backend<'py>(
    py: Python<'py>,
    asynclib_name: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if asynclib_name.is_none()
        && let Some(ours) = backend::our_loop(py)?
        && says_asyncio(ours.as_any())?
    {
        return backend::class(py, |classes| &classes.backend).map(|class| class.into_bound(py));
    }
    backend::method(py, "get_async_backend")?.call1((asynclib_name,))
}

/// Whether anyio would find that code on the loop `owner` runs on asyncio: sniffio, which it asks, can tell of another
/// library that runs inside such a loop.
#[inline]
pub(super) fn says_asyncio(owner: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = owner.py();
    let sniffio = SNIFFIO.get_or_try_init(py, || find(py))?;
    let now = sniffio.asking.bind(py).get_item(pyo3::intern!(py, "sniffio"))?;
    let Some((module, function)) = &sniffio.found else { return Ok(now.is_some_and(|now| now.is_none())) };
    if !now.is_some_and(|now| now.is(module)) {
        return Ok(false);
    }
    let module = module.bind(py);
    if !module.getattr(pyo3::intern!(py, "current_async_library"))?.is(function) {
        return Ok(false);
    }
    let in_thread = module.getattr(pyo3::intern!(py, "thread_local"))?.getattr(pyo3::intern!(py, "name"))?;
    let in_context = module.getattr(pyo3::intern!(py, "current_async_library_cvar"))?;
    let in_context = in_context.call_method0(pyo3::intern!(py, "get"))?;
    if !in_thread.is_none() || !in_context.is_none() {
        return is_asyncio(&if in_thread.is_none() { in_context } else { in_thread });
    }
    Ok(running_task(py, owner, CurrentTaskCall::WithoutLoop)?.is_some())
}

fn is_asyncio(name: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(name.cast::<PyString>().is_ok_and(|name| name == "asyncio"))
}

#[cold]
fn find(py: Python<'_>) -> PyResult<Sniffio> {
    let asking = ferrio_cpython::module(py, name!("anyio._core._eventloop"))?.dict();
    let module = asking.get_item(name!("sniffio"))?.filter(|module| !module.is_none());
    let found = match module {
        Some(module) => {
            let function = module.getattr(name!("current_async_library"))?.unbind();
            Some((module.unbind(), function))
        }
        None => None,
    };
    Ok(Sniffio { asking: asking.unbind(), found })
}
