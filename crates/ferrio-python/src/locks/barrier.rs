//! `asyncio.Barrier`: its state; the bodies of its coroutines are in `barrier_wait.rs`.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::memory::Text;
use ferrio_cpython::objects::coroutine;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::barrier_wait::{Enter, Nothing, Turn, Wait};
use super::condition::Condition;
use super::described;
use super::loop_bound::{Binding, bound_to_loop};
use crate::common::imports;
use crate::common::numbers::{equal_integer, plain_integer};
use crate::compat::locks::behavior;

/// A point that a number of tasks pass together.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
pub(crate) struct Barrier {
    condition: GilCell<Option<Py<Condition>>>,
    pub(super) state: GilCell<State>,
    /// The number of parties as the caller passed it, if it is not a plain integer.
    given: GilCell<Option<Py<PyAny>>>,
    binding: Binding,
}

/// The state of a barrier.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The number of tasks that open the barrier; one that tasks never reach if the number passed in is not whole.
    pub(super) parties: i64,
    /// The number of tasks inside.
    pub(super) count: i64,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Tasks enter and wait.
    Filling,
    /// All tasks have arrived and leave.
    Draining,
    /// The tasks inside leave with an error.
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

/// The class, for recognising unpatched instances.
pub(super) static CLASS: ExactType = ExactType::new();

impl Barrier {
    /// `_cond`, the condition whose lock protects all changes.
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
        let (condition, given) = (GilCell::default(), GilCell::default());
        Self { condition, state: GilCell::new(state), given, binding: Binding::default() }
    }

    fn __init__(&self, parties: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = parties.py();
        if parties.lt(1)? {
            return Err(ferrio_cpython::error::<PyValueError>(behavior(py)?.barrier_text.clone()));
        }
        let (number, given) = match plain_integer(parties) {
            Some(number) => (number, None),
            None => (equal_integer(parties).unwrap_or(i64::MAX), Some(parties.clone().unbind())),
        };
        self.state.set(py, State { parties: number, count: 0, phase: Phase::Filling });
        let before =
            (self.condition.with(py, Option::take), self.given.with(py, |place| std::mem::replace(place, given)));
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
    fn parties(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(given) = self.given.with(py, |given| given.as_ref().map(|given| given.clone_ref(py))) {
            return Ok(given);
        }
        Ok(self.state.get(py).parties.into_pyobject(py)?.into_any().unbind())
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
        if CLASS.is_unpatched(slf) {
            return coroutine::spawn(py, "Barrier.__aenter__", Wait::new(slf)?);
        }
        coroutine::spawn(py, "Barrier.__aenter__", Enter::new(slf))
    }

    #[pyo3(signature = (*_args))]
    fn __aexit__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Barrier.__aexit__", Nothing)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let this = slf.get();
        let state = this.state.get(slf.py());
        let waiting = match state.phase {
            Phase::Broken => String::new(),
            Phase::Filling | Phase::Draining | Phase::Resetting => {
                format!(", waiters:{}/{}", this.n_waiting(slf.py()), this.parties(slf.py())?.bind(slf.py()))
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
    fn shown_parties(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.parties(py)
    }

    #[getter(_state)]
    fn shown_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        imports::barrier_state(py)?.getattr(self.state.get(py).phase.name())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        self.given.traverse(&visit, |given| visit.call(given)).transpose()?;
        self.condition.traverse(&visit, |condition| visit.call(condition)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let parts = (self.condition.with(py, Option::take), self.given.with(py, Option::take));
        drop(parts);
        self.binding.set(py, None);
    }
}
