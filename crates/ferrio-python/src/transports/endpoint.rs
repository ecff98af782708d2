//! `Endpoint`: what all transports have (a loop, a protocol, a context and a write buffer), and operations based on it.

use ferrio_cpython::HandleRef;
use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use ferrio_engine::FlowControl;
use pyo3::PyClass;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyMemoryError, PyOSError};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyString;

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::{Loop, base};

/// A transport.
pub(crate) trait Endpoint: PyClass<Frozen = True> + Sync {
    /// The module and the name of asyncio's class.
    const STOCK: (&'static str, &'static str);

    /// The transport's loop; None once the connection is lost.
    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>>;

    /// The transport's protocol; None once the connection is lost.
    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>>;

    /// The context that protocol methods run in.
    fn context(&self) -> &Py<PyAny>;

    /// Calls `look` with the flow control state and the number of buffered bytes. `look` must not run Python code.
    fn with_flow<R>(&self, py: Python<'_>, look: impl FnOnce(&mut FlowControl, usize) -> R) -> R;
}

/// Calls a protocol method in the connection's context, for calls that come from the loop itself. A context cannot be
/// entered twice, so a call from within a method of the transport (`pause_writing`) stays in that method's context.
#[inline]
pub(crate) fn call_protocol<'py, A>(
    transport: &impl Endpoint,
    protocol: &Bound<'py, PyAny>,
    method: &Bound<'py, PyString>,
    arguments: A,
) -> PyResult<Bound<'py, PyAny>>
where
    A: PyCallArgs<'py>,
{
    let py = protocol.py();
    context::run_in(py, transport.context().bind(py), || protocol.call_method1(method, arguments))
}

/// Reports an exception from a protocol method that asyncio schedules as a callback; `SystemExit` and
/// `KeyboardInterrupt` propagate.
#[cold]
pub(crate) fn callback_failed<T: Endpoint>(
    transport: &Bound<'_, T>,
    protocol: &Bound<'_, PyAny>,
    method: &str,
    error: PyErr,
) -> PyResult<()> {
    report_callback(transport, error, || Ok((protocol.getattr(method)?, transport.clone().into_any())))
}

/// Reports an exception from `connection_lost` or from closing what is below the transport: asyncio schedules a method
/// of the transport, with the error that ended the connection, `lost_by`.
#[cold]
pub(crate) fn loss_failed<T: Endpoint>(
    transport: &Bound<'_, T>,
    lost_by: Option<&Bound<'_, PyAny>>,
    error: PyErr,
) -> PyResult<()> {
    let py = transport.py();
    report_callback(transport, error, || {
        let (module, class) = T::STOCK;
        let function = ferrio_cpython::module(py, module)?.getattr(class)?.getattr(name!("_call_connection_lost"))?;
        let method = function.call_method1(name!("__get__"), (transport,))?;
        Ok((method, lost_by.cloned().unwrap_or_else(|| py.None().into_bound(py))))
    })
}

/// Reports an exception as that of a callback, which `shown` gives with its argument.
fn report_callback<'py, T: Endpoint>(
    transport: &Bound<'py, T>,
    error: PyErr,
    shown: impl FnOnce() -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Err(error) };
    if exception_handler::must_propagate(py, &error) {
        return Err(error);
    }
    let (callback, argument) = shown()?;
    let arguments = memory::tuple(py, [argument])?;
    HandleRef::unscheduled(owner.as_super(), &callback, &arguments)?.report_error(py, error)
}

/// Reports an error that ends the connection: system errors in debug mode only, all others to the exception handler;
/// `SystemExit` and `KeyboardInterrupt` propagate.
#[cold]
pub(crate) fn report_fatal<T: Endpoint>(transport: &Bound<'_, T>, error: &PyErr, message: &str) -> PyResult<()> {
    let py = transport.py();
    if exception_handler::must_propagate(py, error) {
        return Err(error.clone_ref(py));
    }
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    if error.is_instance_of::<PyOSError>(py) {
        if base(&owner).debug.get() {
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("exc_info"), error.clone_ref(py).into_value(py))?;
            imports::selector_events_logger(py)?.call_method(
                name!("debug"),
                ("%r: %s", transport, message),
                Some(&keywords),
            )?;
        }
        return Ok(());
    }
    let protocol = transport.get().protocol(py).unwrap_or_else(|| py.None().into_bound(py));
    let items = [("transport", transport.as_any()), ("protocol", &protocol)];
    ignore_memory_error(py, exception_handler::report(&owner, message, error, &items))
}

/// Ignores that there was no memory for a report: the connection must end all the same, and `connection_lost` gets the
/// error.
pub(crate) fn ignore_memory_error(py: Python<'_>, reported: PyResult<()>) -> PyResult<()> {
    reported.or_else(|failure| if failure.is_instance_of::<PyMemoryError>(py) { Ok(()) } else { Err(failure) })
}

/// Sets a future's result unless it is done or cancelled.
pub(crate) fn wake_waiter(waiter: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let py = waiter.py();
    if !waiter.call_method0(pyo3::intern!(py, "done"))?.is_truthy()? {
        waiter.call_method1(pyo3::intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}
