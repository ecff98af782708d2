//! Closing a runner's loop: cancels the remaining tasks and shuts down generators and the executor.

use ferrio_cpython::capi::memory;
use pyo3::prelude::*;

use crate::common::imports;
use crate::tasks::gather_all;

/// Cancels the remaining tasks, then shuts down asynchronous generators and the default executor.
///
/// # Errors
/// The exception that a run of the loop raises.
pub(super) fn shut_down(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = owner.py();
    cancel_all_tasks(owner)?;
    run(owner, &owner.call_method0(name!("shutdown_asyncgens"))?)?;
    let shutdown = match imports::constants(py)?.getattr_opt(name!("THREAD_JOIN_TIMEOUT"))? {
        Some(timeout) => owner.call_method1(name!("shutdown_default_executor"), (timeout,))?,
        None => owner.call_method0(name!("shutdown_default_executor"))?,
    };
    run(owner, &shutdown)
}

/// asyncio's `_cancel_all_tasks`.
fn cancel_all_tasks(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = owner.py();
    let left = imports::tasks_module(py)?.call_method1(name!("all_tasks"), (owner,))?;
    let left = memory::collected(left.try_iter()?)?;
    if left.is_empty() {
        return Ok(());
    }
    for task in &left {
        task.call_method0(name!("cancel"))?;
    }
    let all = gather_all(&memory::tuple(py, &left)?, true)?;
    run(owner, &all)?;
    for task in left {
        if task.call_method0(name!("cancelled"))?.is_truthy()? {
            continue;
        }
        let exception = task.call_method0(name!("exception"))?;
        if !exception.is_none() {
            let context = memory::dict(py)?;
            context.set_item(name!("message"), name!("unhandled exception during asyncio.run() shutdown"))?;
            context.set_item(name!("exception"), exception)?;
            context.set_item(name!("task"), task)?;
            owner.call_method1(name!("call_exception_handler"), (context,))?;
        }
    }
    Ok(())
}

fn run(owner: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    owner.call_method1(pyo3::intern!(owner.py(), "run_until_complete"), (future,)).map(drop)
}
