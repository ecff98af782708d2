//! A server's clients: the program's callback, its task, and the handling of its exception.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::coroutine_check::is_coroutine;
use ferrio_cpython::objects::future::{self, DoneCallback, future_like};
use pyo3::prelude::*;

use super::fields::Fields;
use super::protocol::StreamReaderProtocol;
use super::writer;
use crate::common::imports;
use crate::event_loop::exception_handler;

/// Calls a server's callback for a client.
pub(super) fn serve(
    slf: &Bound<'_, StreamReaderProtocol>,
    callback: &Bound<'_, PyAny>,
    transport: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let owner = this.owner(py);
    let reader = this.reader(py).unwrap_or_else(|| py.None().into_bound(py));
    let writer = writer::create(transport, slf.as_any(), &reader, &owner)?;
    if imports::python_version(py) < (3, 13) {
        this.put(py, |state| &mut state.writer, Some(writer.clone()));
    }
    let answer = match callback.call1((reader, writer)) {
        Ok(answer) => answer,
        Err(error) if imports::python_version(py) >= (3, 14) && !passes_through(py, &error) => {
            report(&owner, error.value(py).as_any(), transport)?;
            transport.call_method0(name!("close"))?;
            this.put(py, |state| &mut state.strong, None);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if is_coroutine(&answer)? {
        let task = owner.call_method1(pyo3::intern!(py, "create_task"), (answer,))?;
        this.put(py, |state| &mut state.task, Some(task.clone()));
        future::add_done_callback(&task, transport, &CLIENT_DONE)?;
    }
    this.put(py, |state| &mut state.strong, None);
    Ok(())
}

fn passes_through(py: Python<'_>, error: &PyErr) -> bool {
    exception_handler::must_propagate(py, error) || !error.is_instance_of::<pyo3::exceptions::PyException>(py)
}

static CLIENT_DONE: DoneCallback =
    DoneCallback::new("StreamReaderProtocol.connection_made.<locals>.callback", client_done);

fn client_done(transport: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = transport.py();
    if imports::python_version(py) >= (3, 13) && future_like::is_cancelled(task)? {
        return transport.call_method0(name!("close")).map(drop);
    }
    let error = task.call_method0(pyo3::intern!(py, "exception"))?;
    if !error.is_none() {
        report(&task.call_method0(name!("get_loop"))?, &error, transport)?;
        transport.call_method0(name!("close"))?;
    }
    Ok(())
}

#[cold]
fn report(owner: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let context = memory::dict(owner.py())?;
    context.set_item(name!("message"), name!("Unhandled exception in client_connected_cb"))?;
    context.set_item(name!("exception"), error)?;
    context.set_item(name!("transport"), transport)?;
    owner.call_method1(name!("call_exception_handler"), (context,)).map(drop)
}
