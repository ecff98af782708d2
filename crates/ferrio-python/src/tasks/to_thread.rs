//! `to_thread`: runs a function in the loop's default executor, in the caller's context.

use ferrio_cpython::capi::context::copy_current;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use ferrio_cpython::objects::current::get_running_loop;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::common::imports;

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
            let owner = get_running_loop(py)?;
            let run = copy_current(py)?.getattr(name!("run"))?;
            let mut whole = vec![run, func.bind(py).clone()];
            whole.extend(args.bind(py).iter());
            let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
            let call = imports::partial(py)?.call(memory::tuple(py, whole)?, kwargs)?;
            let future = owner.call_method1(name!("run_in_executor"), (py.None(), call))?;
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
