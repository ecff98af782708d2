//! Puts a simulation in the place of a loop's surroundings, and takes the jobs that the loop submits.

use std::time::Duration;

use ferrio_cpython::objects::loop_base::SetOrder;
use ferrio_cpython::{LoopBase, Seams};
use ferrio_engine::Freedom;
use pyo3::prelude::*;

use crate::event_loop::{Loop, base, run};
use crate::testing::clock;
use crate::testing::real_io;
use crate::testing::simulation::Simulation;
use crate::testing::turn;

pub(super) static SEAMS: Seams = Seams {
    now: clock::now,
    read: clock::read,
    now_before: clock::now_before,
    poll: turn::poll,
    ran: turn::ran,
    choose_order_of_sets,
    submit,
    before_call: Some(before_call),
    watch_job: None,
    outside: None,
};

/// Virtual time, with the system's sockets and threads.
static REAL_IO: Seams = Seams { poll: real_io::poll, before_call: None, watch_job: Some(real_io::watch_job), ..SEAMS };

#[pymethods]
impl Simulation {
    /// Take the place of the loop's surroundings, or, with `real_io`, of its clock only.
    #[pyo3(signature = (owner, real_io=false))]
    fn attach(slf: &Bound<'_, Self>, owner: &Bound<'_, Loop>, real_io: bool) {
        let seams = if real_io { &REAL_IO } else { &SEAMS };
        base(owner).simulate(slf.py(), Some((slf.clone().into_any().unbind(), seams)));
    }

    /// Put the loop's surroundings back.
    #[staticmethod]
    fn detach(owner: &Bound<'_, Loop>) {
        base(owner).simulate(owner.py(), None);
    }

    /// Queue the handlers of descriptors that are ready, without waiting.
    #[staticmethod]
    pub(super) fn poll(owner: &Bound<'_, Loop>) -> PyResult<()> {
        run::poll_system(owner, Some(Duration::ZERO))?;
        // Which polls are skipped depends on the system's time: a simulated loop skips none.
        owner.get().io.poll_next(owner.py());
        Ok(())
    }
}

/// A set of tasks is used for the first time in the run: its order may be another one.
fn choose_order_of_sets(slf: &Bound<'_, PyAny>) -> SetOrder {
    let Ok(this) = slf.cast::<Simulation>() else { return SetOrder::default() };
    let py = slf.py();
    let order = this.get().state.with(py, |state| {
        let is_reversed = state.tape.choose(Freedom::Set, 1, 2) == 1;
        let mix = state.tape.choose(Freedom::Set, 2, usize::from(SetOrder::MIXES));
        SetOrder { is_reversed, mix: mix.try_into().unwrap_or_default() }
    });
    let what = match order {
        SetOrder { mix: 0, is_reversed: false } => return order,
        SetOrder { mix: 0, is_reversed: true } => "are iterated in reverse",
        SetOrder { .. } => "are iterated in another order",
    };
    if let Err(error) = this.get().tell(py, what, 0.0, None) {
        error.write_unraisable(py, Some(slf));
    }
    order
}

/// What a job has slept passes before it calls the loop.
fn before_call(slf: &Bound<'_, PyAny>) -> PyResult<()> {
    let this = slf.cast::<Simulation>()?.get();
    match this.world(slf.py()) {
        Some(world) if this.state.with(slf.py(), |state| state.owes) => world.call_method0(name!("pay")).map(drop),
        _ => Ok(()),
    }
}

/// The job lands when it is chosen.
fn submit(slf: &Bound<'_, PyAny>, owner: &Bound<'_, LoopBase>, job: Bound<'_, PyAny>) -> PyResult<()> {
    let chain = LoopBase::running_number(owner);
    slf.cast::<Simulation>()?.get().arrive(slf.py(), job.unbind(), chain);
    Ok(())
}
