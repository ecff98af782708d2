//! The clock of a simulation: it stands still while the program computes, and it may be read late.
//!
//! What a program of few turns sees is exact. A loop whose clock has stood still for long takes time for its turns, so
//! that a program which waits for a deadline without ever being idle reaches it.

use ferrio_cpython::LoopBase;
use ferrio_engine::Freedom;
use pyo3::prelude::*;

use crate::testing::simulation::Simulation;
use crate::testing::state::mix;

/// Deadlines that differ by less are due together, as on the real clock.
pub(super) const RESOLUTION: f64 = 1e-9;

/// How far the clock goes on at least when it does.
pub(super) const MOMENT: f64 = 1e-6;

/// What a choice costs that puts something between two callbacks of one turn.
pub(super) const FINE: u8 = 2;

/// After so many turns in which the clock stood still, each turn takes a while.
const STILL_TURNS: u64 = 1000;

/// How long.
const WHILE: f64 = 1e-5;

type Object<'py> = Bound<'py, PyAny>;

/// A reading of the clock.
pub(super) fn now(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> f64 {
    let py = slf.py();
    let Ok(this) = slf.cast::<Simulation>() else { return f64::NAN };
    let next = owner.get().next_timer(py);
    this.get().state.with(py, |state| {
        if state.readings.last() != Some(&next) {
            state.readings.push(next);
        }
        state.now
    })
}

/// A reading that the program asks for.
pub(super) fn read(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> PyResult<f64> {
    now(slf, owner);
    slf.cast::<Simulation>()?.get().read(slf.py())
}

/// The reading before a timer is armed: by then the clock may have gone on, so that timers armed earlier, which were to
/// be due later, are due first.
pub(super) fn now_before(slf: &Object<'_>, owner: &Bound<'_, LoopBase>, delay: f64) -> PyResult<f64> {
    let py = slf.py();
    let reading = now(slf, owner);
    let this = slf.cast::<Simulation>()?.get();
    let next = owner.get().next_timer(py);
    let (stall, allowed) = this.state.with(py, |state| {
        if state.relative.last() != Some(&next) {
            state.relative.push(next);
        }
        (state.stall, state.tape.allows(Freedom::Stall))
    });
    if !allowed || stall <= 0.0 || delay <= 0.0 || delay.is_nan() {
        return Ok(reading);
    }
    let when = reading + delay;
    let mut passed: Vec<f64> = owner.get().armed_timers(py, when + stall).iter().map(|timer| timer.deadline).collect();
    passed.retain(|deadline| *deadline > when + RESOLUTION);
    passed.dedup();
    let chosen = this.state.with(py, |state| state.tape.choose(Freedom::Stall, FINE, 1 + passed.len()));
    if chosen == 0 {
        return Ok(reading);
    }
    let moved = passed[chosen - 1] - delay + MOMENT;
    this.state.with(py, |state| state.now = moved);
    this.tell(py, "slips", moved - reading, None)?;
    Ok(moved)
}

/// A loop whose clock has stood still for long takes time for its turns.
pub(super) fn let_turn_take_time(this: &Simulation, py: Python<'_>) -> PyResult<()> {
    let (is_still, is_foreign) = this.state.with(py, |state| {
        state.still_turns += 1;
        let is_still = state.still_turns > STILL_TURNS;
        if is_still {
            state.now += WHILE;
        }
        (is_still, state.foreign)
    });
    match this.world(py) {
        Some(world) if is_still && is_foreign => world.call_method0(name!("pause")).map(drop),
        _ => Ok(()),
    }
}

#[pymethods]
impl Simulation {
    /// The program reads the clock: if it has moved since the last time, the loop may have been held up.
    fn read(&self, py: Python<'_>) -> PyResult<f64> {
        let (now, moved) = self.state.with(py, |state| {
            let (began, stall) = (state.now, state.stall);
            let has_moved = stall > 0.0 && began > state.read_at;
            if has_moved && state.tape.choose(Freedom::Stall, FINE, 2) == 1 {
                state.now += stall;
                state.outcome = mix(state.outcome, 1 << 60);
            }
            state.read_at = state.now;
            (state.now, state.now - began)
        });
        if moved > 0.0 {
            self.tell(py, "reads late", moved, None)?;
        }
        Ok(now)
    }
}
