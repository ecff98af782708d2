//! Turns of a simulation whose I/O is real: the poll is the system's, the clock is not.
//!
//! Python says whether something real is pending (`world.is_pending`): a job, a child, a peer outside of the process.
//! While something is, the clock goes on as the system's does; while nothing is, it stands still as long as the program
//! computes and jumps to the next deadline when nothing is left to do. So no timer is due before an answer that is
//! under way only because the clock jumped.

use std::time::Duration;

use ferrio_cpython::LoopBase;
use ferrio_sys::clock::monotonic;
use pyo3::prelude::*;

use crate::event_loop::{Loop, run};
use crate::testing::clock::RESOLUTION;
use crate::testing::simulation::Simulation;

/// The longest wait for something real before Python is asked again whether it is pending, in seconds.
const NAP: f64 = 0.05;

/// So many turns of a busy loop pass between two questions whether something real is pending.
const BUSY_TURNS: u64 = 256;

/// What each of these takes if nothing is, in nanoseconds.
const TURN: u64 = 10_000;

type Object<'py> = Bound<'py, PyAny>;

/// A thread of the program's does a job.
pub(super) fn watch_job(slf: &Object<'_>, future: &Object<'_>) -> PyResult<()> {
    let this = slf.cast::<Simulation>()?.get();
    let future = future.clone().unbind();
    this.state.with(slf.py(), |state| state.jobs.push(future));
    Ok(())
}

/// Polls the system, and queues the timers that are due.
pub(super) fn poll(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> PyResult<()> {
    let py = slf.py();
    let turn = Turn { this: slf.cast::<Simulation>()?.get(), owner };
    let base = owner.get();
    if base.ready_count(py) > 0 || base.stopping.get() {
        turn.go_on_while_busy()?;
        turn.poll(Duration::ZERO)?;
        return turn.land_timers();
    }
    turn.this.state.with(py, |state| state.turns = 0);
    turn.wait()
}

struct Turn<'a, 'py> {
    this: &'a Simulation,
    owner: &'a Bound<'py, LoopBase>,
}

impl<'py> Turn<'_, 'py> {
    fn py(&self) -> Python<'py> {
        self.owner.py()
    }

    fn poll(&self, timeout: Duration) -> PyResult<()> {
        let owner = self.owner.cast::<Loop>()?;
        run::poll_system(owner, Some(timeout))?;
        // Each turn looks at the clock.
        owner.get().io.poll_next(self.py());
        Ok(())
    }

    fn has_work(&self) -> bool {
        self.owner.get().ready_count(self.py()) > 0 || self.owner.get().stopping.get()
    }

    fn ask(&self, question: &str) -> PyResult<bool> {
        match self.this.world(self.py()) {
            Some(world) => world.call_method0(question)?.is_truthy(),
            None => Ok(false),
        }
    }

    fn advance(&self, nanoseconds: u64) {
        let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
        self.this.state.with(self.py(), |state| state.now += seconds);
    }

    /// A program that is never idle sees the clock go on: as the system's does while something real is pending.
    fn go_on_while_busy(&self) -> PyResult<()> {
        let (turns, most) = self.this.state.with(self.py(), |state| {
            state.turns += 1;
            (state.turns, state.most_turns)
        });
        if turns % BUSY_TURNS != 0 {
            return Ok(());
        }
        let now = monotonic();
        let since = self.this.state.with(self.py(), |state| state.asked.replace(now));
        if self.ask("is_pending")? {
            if let Some(since) = since {
                self.advance(now.saturating_sub(since));
            }
            self.this.state.with(self.py(), |state| state.turns = 0);
        } else if turns > most {
            self.ask("livelock")?;
        } else {
            self.advance(BUSY_TURNS * TURN);
        }
        Ok(())
    }

    /// Waits until there is something to do.
    fn wait(&self) -> PyResult<()> {
        let py = self.py();
        self.this.state.with(py, |state| state.asked = None);
        self.poll(Duration::ZERO)?;
        while !self.has_work() {
            let next = self.owner.get().next_deadline(py).map(|deadline| deadline.0).filter(|next| !next.is_nan());
            let now = self.this.state.with(py, |state| state.now);
            if next.is_some_and(|next| next <= now + RESOLUTION) {
                return self.land_timers();
            }
            if self.ask("is_pending")? || (next.is_none() && self.ask("may_be_called")?) {
                let seconds = next.map_or(NAP, |next| (next - now).min(NAP));
                let began = monotonic();
                self.poll(Duration::from_secs_f64(seconds))?;
                self.advance(monotonic() - began);
                continue;
            }
            // What arrived between the poll and the questions is why nothing is pending any more.
            self.poll(Duration::ZERO)?;
            if self.has_work() {
                continue;
            }
            match next {
                Some(next) => self.this.state.with(py, |state| state.now = next),
                // Raises.
                None => drop(self.ask("nothing_left")?),
            }
        }
        self.land_timers()
    }

    /// Moves the timers that are due to the queue, in order.
    fn land_timers(&self) -> PyResult<()> {
        let py = self.py();
        let now = self.this.state.with(py, |state| state.now);
        for timer in self.owner.get().armed_timers(py, now + RESOLUTION) {
            self.owner.get().land_timer(py, timer.sequence)?;
        }
        Ok(())
    }
}
