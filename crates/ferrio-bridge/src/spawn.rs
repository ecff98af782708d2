//! Futures as tasks and as coroutines.

use std::any::{TypeId, type_name};
use std::future::Future;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::coroutine::Coroutine;
use crate::futures::Body;
use crate::interpreter::check_interpreter;
use crate::loop_bridge::LoopBridge;
use crate::native;
use crate::panics::for_python;

/// A task of the running loop that runs `future`, which need not be `Send`.
///
/// The task is an `asyncio.Task`: it can be awaited and cancelled, it is in `asyncio.all_tasks()`, and a task group or
/// `gather` takes it. As any task it begins in the loop's next turn. The result becomes a Python object; `()` is None.
///
/// # Errors
/// `RuntimeError` if no event loop runs on this thread; what the loop's `create_task` raises; `MemoryError`.
///
/// ```no_run
/// use std::rc::Rc;
///
/// use ferrio_bridge::{spawn_local, yield_now};
/// use pyo3::prelude::*;
///
/// /// `task = greet("Ada")`, and later `await task`, in Python.
/// #[pyfunction]
/// fn greet(py: Python<'_>, name: String) -> PyResult<Bound<'_, PyAny>> {
///     let name = Rc::new(name);
///     spawn_local(py, async move {
///         yield_now().await;
///         Ok::<String, PyErr>(format!("hello, {name}"))
///     })
/// }
/// ```
pub fn spawn_local<'py, F, T, E>(py: Python<'py>, future: F) -> PyResult<Bound<'py, PyAny>>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: for<'a> IntoPyObject<'a> + 'static,
    E: Into<PyErr>,
{
    for_python(py, || {
        let event_loop = native::running_loop(py)?;
        let bridge = LoopBridge::of(&event_loop)?;
        let native = bridge.get().native;
        let coroutine = Coroutine::new(py, name_of::<F>(), body(future), Some(bridge)).into_object(py)?;
        native::create_task(native, &event_loop, coroutine.as_any())
    })
}

/// A coroutine object that runs `future` in the task that awaits it, as the result of an `async def` does.
///
/// This is the cheapest way to let Python await a future. Nothing runs before it is awaited, on the thread that has
/// created it.
///
/// # Errors
/// `MemoryError`.
///
/// ```no_run
/// use std::time::Duration;
///
/// use ferrio_bridge::{coroutine, sleep};
/// use pyo3::prelude::*;
///
/// /// `await pause(100)` in Python.
/// #[pyfunction]
/// fn pause(py: Python<'_>, milliseconds: u64) -> PyResult<Bound<'_, PyAny>> {
///     coroutine(py, pause_in_rust(milliseconds))
/// }
///
/// async fn pause_in_rust(milliseconds: u64) -> PyResult<()> {
///     sleep(Duration::from_millis(milliseconds)).await;
///     Ok(())
/// }
/// ```
pub fn coroutine<F, T, E>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: for<'a> IntoPyObject<'a> + 'static,
    E: Into<PyErr>,
{
    for_python(py, || {
        check_interpreter(py)?;
        Ok(Coroutine::new(py, name_of::<F>(), body(future), None).into_object(py)?.into_any())
    })
}

fn body<F, T, E>(future: F) -> Body
where
    F: Future<Output = Result<T, E>> + 'static,
    T: for<'a> IntoPyObject<'a> + 'static,
    E: Into<PyErr>,
{
    Box::pin(async move {
        let value = future.await.map_err(Into::into)?;
        Python::attach(|py| {
            // PyO3 would convert it to an empty tuple.
            if TypeId::of::<T>() == TypeId::of::<()>() { Ok(py.None()) } else { value.into_py_any(py) }
        })
    })
}

/// The path of the function that contains the `async` block.
fn name_of<F>() -> &'static str {
    let mut name = type_name::<F>();
    while let Some(outer) = name.strip_suffix("::{{closure}}") {
        name = outer;
    }
    name
}
