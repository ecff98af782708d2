//! `asyncio.Barrier`: its state; `barrier_wait.rs` has what its coroutines do.

use ferrio_cpython::GilCell;
use ferrio_cpython::coroutine;
use ferrio_cpython::plain::PlainClass;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::barrier_wait::{Enter, Nothing, Turn, Wait};
use super::binding::{Binding, bound_to_loop};
use super::condition::Condition;
use super::described;
use super::style::style;
use crate::imports;

/// A point that a number of tasks pass together.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
pub(crate) struct Barrier {
    condition: GilCell<Option<Py<Condition>>>,
    pub(super) state: GilCell<State>,
    binding: Binding,
}

/// How far a barrier is.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) parties: i64,
    /// The tasks inside.
    pub(super) count: i64,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Tasks come in and wait.
    Filling,
    /// All are there and leave.
    Draining,
    /// Those inside leave with an error.
    Resetting,
    /// Aborted.
    Broken,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Filling => "FILLING",
            Self::Draining => "DRAINING",
            Self::Resetting => "RESETTING",
            Self::Broken => "BROKEN",
        }
    }
}

/// The class, to tell plain instances.
pub(super) static CLASS: PlainClass = PlainClass::new();

impl Barrier {
    /// `_cond`, which all changes are made under.
    pub(super) fn condition<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Condition>> {
        let py = slf.py();
        let place = &slf.get().condition;
        if let Some(condition) = place.with(py, |condition| condition.as_ref().map(|known| known.bind(py).clone())) {
            return Ok(condition);
        }
        let condition = py.get_type::<Condition>().call0()?.cast_into::<Condition>()?;
        let kept = condition.clone().unbind();
        place.with(py, |place| *place = Some(kept));
        Ok(condition)
    }
}

bound_to_loop!(Barrier);

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(parties)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        let state = State { parties: 1, count: 0, phase: Phase::Filling };
        Self { condition: GilCell::default(), state: GilCell::new(state), binding: Binding::default() }
    }

    fn __init__(&self, parties: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = parties.py();
        if parties.lt(1)? {
            return Err(ferrio_cpython::error::<PyValueError>(style(py)?.barrier_text.clone()));
        }
        let parties = parties.extract()?;
        self.state.set(py, State { parties, count: 0, phase: Phase::Filling });
        let before = self.condition.with(py, Option::take);
        drop(before);
        Ok(())
    }

    /// Wait until all parties are there; gives each another number.
    fn wait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Barrier.wait", Wait::new(slf)?)
    }

    /// Put the barrier back to the beginning. Whoever waits gets `BrokenBarrierError`.
    fn reset(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let change = |state: &mut State| {
            state.phase = if state.count > 0 { Phase::Resetting } else { Phase::Filling };
        };
        coroutine::spawn(slf.py(), "Barrier.reset", Turn::new(slf, change)?)
    }

    /// Break the barrier: whoever waits, now or later, gets `BrokenBarrierError`.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Barrier.abort", Turn::new(slf, |state| state.phase = Phase::Broken)?)
    }

    /// The number of tasks that pass together.
    #[getter]
    fn parties(&self, py: Python<'_>) -> i64 {
        self.state.get(py).parties
    }

    /// The number of tasks that wait.
    #[getter]
    fn n_waiting(&self, py: Python<'_>) -> i64 {
        let state = self.state.get(py);
        if state.phase == Phase::Filling { state.count } else { 0 }
    }

    /// Whether the barrier was aborted.
    #[getter]
    fn broken(&self, py: Python<'_>) -> bool {
        self.state.get(py).phase == Phase::Broken
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if CLASS.is_plain(slf) {
            return coroutine::spawn(py, "Barrier.__aenter__", Wait::new(slf)?);
        }
        coroutine::spawn(py, "Barrier.__aenter__", Enter::new(slf))
    }

    #[pyo3(signature = (*_args))]
    fn __aexit__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Barrier.__aexit__", Nothing)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let state = this.state.get(slf.py());
        let waiting = match state.phase {
            Phase::Broken => String::new(),
            Phase::Filling | Phase::Draining | Phase::Resetting => {
                format!(", waiters:{}/{}", this.n_waiting(slf.py()), state.parties)
            }
        };
        let extra = state.phase.name().to_lowercase() + &waiting;
        described(slf, &extra)
    }

    #[getter(_cond)]
    fn shown_condition<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Condition>> {
        Self::condition(slf)
    }

    #[getter(_count)]
    fn shown_count(&self, py: Python<'_>) -> i64 {
        self.state.get(py).count
    }

    #[getter(_parties)]
    fn shown_parties(&self, py: Python<'_>) -> i64 {
        self.state.get(py).parties
    }

    #[getter(_state)]
    fn shown_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        imports::barrier_state(py)?.getattr(self.state.get(py).phase.name())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        self.condition.traverse(&visit, |condition| visit.call(condition)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let condition = self.condition.with(py, Option::take);
        drop(condition);
        self.binding.set(py, None);
    }
}
