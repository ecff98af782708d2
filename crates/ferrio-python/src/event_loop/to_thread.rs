//! `to_thread`: runs a function in the loop's default executor, in the caller's context.

use ferrio_cpython::capi::context::{copy_current, is_context};
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use ferrio_cpython::objects::create_task;
use ferrio_cpython::objects::current::get_running_loop;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::common::imports;
use crate::event_loop::{Loop, base, executors};
use crate::threads::job::Call;

/// Run the function in another thread and return its result.
///
/// Arguments are passed on to it; it runs in a copy of the current `contextvars.Context`.
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn to_thread(
    py: Python<'_>,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    spawn(py, "to_thread", ToThread::New { func, args, kwargs })
}

/// First the call, then the wait for its outcome.
enum ToThread {
    New { func: Py<PyAny>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>> },
    Waiting(Awaiting),
}

impl Body for ToThread {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if let Self::New { func, args, kwargs } = self {
            let context = copy_current(py)?;
            let future = submit(&get_running_loop(py)?, Parts { context, func, args, kwargs: kwargs.as_ref() })?;
            *self = Self::Waiting(Awaiting::new(&future)?);
        }
        match self {
            Self::Waiting(awaiting) => awaiting.resume(py, input),
            Self::New { .. } => input.map(Step::Returned),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        match self {
            Self::New { func, args, kwargs } => {
                visitor.show(func);
                visitor.show(args);
                visitor.show_any(kwargs.as_ref());
            }
            Self::Waiting(awaiting) => awaiting.traverse(visitor),
        }
    }
}

struct Parts<'a, 'py> {
    context: Bound<'py, PyAny>,
    func: &'a Py<PyAny>,
    args: &'a Py<PyTuple>,
    kwargs: Option<&'a Py<PyDict>>,
}

/// Calls the loop's `run_in_executor`, or does the same without its call where no program can have replaced it.
fn submit<'py>(owner: &Bound<'py, PyAny>, parts: Parts<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let Parts { context, func, args, kwargs } = parts;
    if create_task::EVENT_LOOP.is_exact(owner)
        && is_context(&context)
        && let Ok(native) = owner.cast::<Loop>()
        && !base(native).patched.get()
    {
        let call = Call::InContext {
            context: context.clone().unbind(),
            function: func.clone_ref(py),
            arguments: args.clone_ref(py),
            keywords: kwargs.map(|kwargs| kwargs.clone_ref(py)),
        };
        if let Ok(future) = executors::call_in_thread(native, call)? {
            return Ok(future);
        }
    }
    let mut whole = vec![context.getattr(name!("run"))?, func.bind(py).clone()];
    whole.extend(args.bind(py).iter());
    let call = imports::partial(py)?.call(memory::tuple(py, whole)?, kwargs.map(|kwargs| kwargs.bind(py)))?;
    owner.call_method1(name!("run_in_executor"), (py.None(), call))
}
