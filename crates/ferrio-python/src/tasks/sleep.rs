//! `sleep`: one turn of the loop, or a future that a timer completes.
//!
//! Invariant: when the coroutine ends, its timer is no longer scheduled.

use ferrio_cpython::capi::hooks;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use ferrio_cpython::objects::current::get_running_loop;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use crate::common::imports;
use crate::common::timer::{Timer, plain_number};

/// Return `result` after `delay` seconds; zero or less lets the others run once.
#[pyfunction]
#[pyo3(signature = (delay, result=None))]
pub(crate) fn sleep<'py>(delay: Bound<'py, PyAny>, result: Option<Bound<'py, PyAny>>) -> PyResult<Py<PyAny>> {
    let py = delay.py();
    spawn(py, "sleep", Sleep { delay: delay.into(), result: result.map(OwnedRef::from), stage: Stage::New })
}

struct Sleep {
    delay: OwnedRef,
    result: Option<OwnedRef>,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits for the next turn.
    Turn,
    /// Waits for the timer.
    Timer(Awaiting, Timer),
}

impl Body for Sleep {
    const OWNS_PY: bool = false;

    #[inline]
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {
                if is_past(self.delay.bind(py))? {
                    self.stage = Stage::Turn;
                    return Ok(Step::Yielded(py.None().into_bound(py)));
                }
                let (mut awaiting, timer) = self.begin(py)?;
                let step = awaiting.resume(py, input);
                self.stage = Stage::Timer(awaiting, timer);
                step
            }
            Stage::Turn => {
                input?;
                Ok(Step::Returned(self.take_result(py)))
            }
            Stage::Timer(awaiting, timer) => {
                let step = awaiting.resume(py, input);
                if let Ok(Step::Yielded(_)) = step {
                    return step;
                }
                timer.cancel(py)?;
                match step? {
                    // Other code completed the future, with a result of its own.
                    Step::Returned(value) if !value.is_none() => Ok(Step::Returned(value)),
                    _ => Ok(Step::Returned(self.take_result(py))),
                }
            }
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::Timer(awaiting, _) => Some(awaiting),
            Stage::New | Stage::Turn => None,
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.delay);
        if let Some(result) = &self.result {
            visitor.show_owned(result);
        }
        if let Stage::Timer(awaiting, timer) = &self.stage {
            awaiting.traverse(visitor);
            timer.traverse(visitor);
        }
    }
}

impl Sleep {
    fn take_result<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.result.take().map_or_else(|| py.None().into_bound(py), |result| result.into_bound(py))
    }

    /// Starts the timer.
    fn begin(&self, py: Python<'_>) -> PyResult<(Awaiting, Timer)> {
        let delay = self.delay.bind(py);
        if imports::python_version(py) >= (3, 13) && is_nan(delay)? {
            return Err(ferrio_cpython::error::<PyValueError>("Invalid delay: NaN (not a number)"));
        }
        let owner = get_running_loop(py)?;
        let future = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        let awaiting = Awaiting::new(&future)?;
        let timer = Timer::finish(&owner, delay, &future)?;
        Ok((awaiting, timer))
    }
}

/// `math.isnan(delay)`.
#[inline]
fn is_nan(delay: &Bound<'_, PyAny>) -> PyResult<bool> {
    let function = match hooks::IS_NAN.replacement(delay.py())? {
        Some(function) => function,
        None => match delay.cast_exact::<PyFloat>() {
            Ok(seconds) => return Ok(seconds.value().is_nan()),
            Err(_) => imports::isnan(delay.py())?.clone(),
        },
    };
    function.call1((delay,))?.is_truthy()
}

/// `delay <= 0`.
#[inline]
fn is_past(delay: &Bound<'_, PyAny>) -> PyResult<bool> {
    match plain_number(delay) {
        Some(seconds) => Ok(seconds <= 0.0),
        None => delay.le(0),
    }
}
