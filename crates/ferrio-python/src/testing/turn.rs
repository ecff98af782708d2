//! What lands in a turn, and when the clock moves: each choice here is one that the loop's surroundings may make.
//!
//! Alternative 0 of each is the undisturbed course: the clock moves only while the loop has nothing to do, to the next
//! deadline; timers with that deadline land together, in the order of arming; an executor's outcome lands when the loop
//! is idle, the oldest first. What is never permuted: the order of `call_soon`, and of timers whose deadlines differ.
//!
//! A loop that is never idle polls all the same: so a program that waits in a circle of `sleep(0)` sees in the end what it
//! waits for.

use ferrio_cpython::{ArmedTimer, LoopBase};
use ferrio_engine::Freedom;
use pyo3::prelude::*;

use crate::event_loop::Loop;
use crate::testing::clock::{self, FINE, MOMENT, RESOLUTION};
use crate::testing::simulation::Simulation;
use crate::testing::stand_in::is_stand_in;
use crate::testing::state::{Arrival, mix};
use crate::threads::job::Job;

/// After so many turns in which the loop was busy, the oldest of what is pending lands.
const BUSY_TURNS: u64 = 100;

type Object<'py> = Bound<'py, PyAny>;

/// Queues what lands in this turn.
pub(super) fn poll(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> PyResult<()> {
    let py = slf.py();
    let turn = Turn { this: slf.cast::<Simulation>()?.get(), owner };
    let over = turn.this.state.with(py, |state| {
        state.turns += 1;
        state.turns > state.most_turns
    });
    if over && let Some(world) = turn.this.world(py) {
        world.call_method0(name!("livelock"))?;
    }
    turn.put_back()?;
    turn.look_at_network()?;
    clock::let_turn_take_time(turn.this, py)?;
    let base = owner.get();
    if base.ready_count(py) > 0 || base.stopping.get() {
        turn.gather_while_busy()?;
    } else {
        turn.gather_while_idle()?;
    }
    turn.choose_callback()
}

/// A callback has run, and what it queued begins at `place`: something of another thread may have come in between.
pub(super) fn ran(
    slf: &Object<'_>,
    owner: &Bound<'_, LoopBase>,
    place: usize,
    task: Option<Object<'_>>,
) -> PyResult<()> {
    let py = slf.py();
    let turn = Turn { this: slf.cast::<Simulation>()?.get(), owner };
    if let Some(task) = task {
        if turn.this.state.with(py, |state| state.tracing)
            && let Some(world) = turn.this.world(py)
        {
            world.call_method1(name!("note_step"), (&task,))?;
        }
        turn.note_step(&task)?;
    }
    if turn.this.state.with(py, |state| state.has_invariants)
        && let Some(world) = turn.this.world(py)
    {
        world.call_method0(name!("check_invariants"))?;
    }
    let appended = owner.get().ready_count(py).saturating_sub(place);
    // What comes by the network lands in polls only.
    let pending = turn.this.state.with(py, |state| state.arrivals.iter().filter(|arrival| arrival.by_thread).count());
    if pending == 0 || appended == 0 {
        return Ok(());
    }
    let chosen = turn.this.state.with(py, |state| state.tape.choose(Freedom::Arrival, FINE, 1 + pending * appended));
    if chosen == 0 {
        return Ok(());
    }
    let (index, position) = ((chosen - 1) / appended, (chosen - 1) % appended);
    let index = turn.this.state.with(py, |state| {
        let mut by_threads = state.arrivals.iter().enumerate().filter(|(_, arrival)| arrival.by_thread);
        by_threads.nth(index).map_or(0, |(index, _)| index)
    });
    let after = owner.get().take_ready(py, place + position);
    turn.land(index, "lands between two callbacks")?;
    owner.get().reserve(py, after.len())?;
    for runnable in after {
        owner.get().push_reserved(py, runnable);
    }
    Ok(())
}

struct Turn<'a, 'py> {
    this: &'a Simulation,
    owner: &'a Bound<'py, LoopBase>,
}

impl<'py> Turn<'_, 'py> {
    fn py(&self) -> Python<'py> {
        self.owner.py()
    }

    fn choose(&self, freedom: Freedom, cost: u8, alternatives: usize) -> usize {
        self.this.state.with(self.py(), |state| state.tape.choose(freedom, cost, alternatives))
    }

    fn gather_while_busy(&self) -> PyResult<()> {
        self.mature();
        self.land_overdue()?;
        self.land_more(FINE, |_| true)?;
        self.land_timers(None)
    }

    /// Lands something if the loop was busy for long, as its polls would have seen it by then.
    fn land_overdue(&self) -> PyResult<()> {
        let chains: Vec<u64> = self.this.state.with(self.py(), |state| {
            state.busy_turns = if state.arrivals.is_empty() { 0 } else { state.busy_turns + 1 };
            let is_overdue = state.busy_turns > BUSY_TURNS;
            let overdue = is_overdue.then(|| state.arrivals.iter().map(|arrival| arrival.chain).collect());
            overdue.unwrap_or_default()
        });
        if chains.is_empty() {
            return Ok(());
        }
        let chosen = self.this.state.with(self.py(), |state| state.tape.choose_arrival(&chains, false));
        self.land(chosen, if chosen == 0 { "" } else { "lands first" })
    }

    fn gather_while_idle(&self) -> PyResult<()> {
        let py = self.py();
        let began = self.this.state.with(py, |state| state.now);
        loop {
            self.mature();
            let next = self.owner.get().next_deadline(py);
            let next_under_way = self.this.state.with(py, |state| state.under_way.first().map(|first| first.from));
            let until = match (next, next_under_way) {
                (Some(next), Some(from)) => Some(next.0.min(from)),
                (Some(next), None) => Some(next.0),
                (None, from) => from,
            };
            let chains: Vec<u64> =
                self.this.state.with(py, |state| state.arrivals.iter().map(|arrival| arrival.chain).collect());
            if !chains.is_empty() {
                let or_later = until.is_some_and(|until| self.may_all_wait(until));
                let chosen = self.this.state.with(py, |state| state.tape.choose_arrival(&chains, or_later));
                if chosen < chains.len() {
                    self.land(chosen, if chosen == 0 { "" } else { "lands first" })?;
                    self.land_more(1, |_| true)?;
                    return self.land_timers(None);
                }
                let first = self.this.state.with(py, |state| state.arrivals[0].job.clone_ref(py));
                self.this.tell_of_arrival(py, "keeps waiting", first.bind(py), chains[0])?;
            }
            let Some(until) = until else {
                self.nothing_left()?;
                if self.owner.get().ready_count(py) > 0 || self.owner.get().stopping.get() {
                    return Ok(());
                }
                continue;
            };
            if self.this.state.with(py, |state| state.foreign) {
                self.let_real_time_pass(until)?;
                if self.owner.get().ready_count(py) > 0 {
                    return Ok(());
                }
            }
            self.this.state.with(py, |state| {
                state.now = state.now.max(until);
                state.still_turns = 0;
            });
            if next_under_way.is_some_and(|from| from <= until) {
                continue;
            }
            // What the poll reports that ends now is before the timers; a thread's call may come after them.
            self.land_more(1, |arrival| !arrival.by_thread)?;
            self.land_timers(Some(began))?;
            return self.land_more(1, |arrival| arrival.by_thread);
        }
    }

    /// Whether nothing that is pending has to land before this instant.
    fn may_all_wait(&self, until: f64) -> bool {
        self.this.state.with(self.py(), |state| state.arrivals.iter().all(|arrival| until <= arrival.until))
    }

    /// Lands more of what is pending in the same turn, of the kind that may.
    fn land_more(&self, cost: u8, may_land: fn(&Arrival) -> bool) -> PyResult<()> {
        loop {
            let count = self
                .this
                .state
                .with(self.py(), |state| state.arrivals.iter().filter(|arrival| may_land(arrival)).count());
            let chosen = self.choose(Freedom::Arrival, cost, 1 + count);
            if chosen == 0 {
                return Ok(());
            }
            let index = self.this.state.with(self.py(), |state| {
                let mut places = state.arrivals.iter().enumerate().filter(|(_, arrival)| may_land(arrival));
                places.nth(chosen - 1).map_or(0, |(index, _)| index)
            });
            self.land(index, "lands in the same turn")?;
        }
    }

    fn land(&self, index: usize, what: &str) -> PyResult<()> {
        let py = self.py();
        let arrival = self.this.state.with(py, |state| {
            let arrival = state.arrivals.remove(index);
            state.busy_turns = 0;
            state.tape.note_landed(arrival.chain);
            state.outcome = mix(state.outcome, arrival.chain | 1 << 63);
            arrival
        });
        let job = arrival.job.into_bound(py);
        if !what.is_empty() {
            self.this.tell_of_arrival(py, what, &job, arrival.chain)?;
        }
        if arrival.by_thread && is_stand_in(&job)? {
            return Job::run(job.cast::<Job>()?).map(drop);
        }
        if let Some(world) = self.this.world(py) {
            let method = if arrival.by_thread { name!("run") } else { name!("land") };
            world.call_method1(method, (job, arrival.chain))?;
        }
        if arrival.by_thread { Ok(()) } else { self.poll_system() }
    }

    /// Lets the simulated network take what was written, and queues what is ready on sockets without anything landing.
    fn look_at_network(&self) -> PyResult<()> {
        if !self.this.state.with(self.py(), |state| state.networked) {
            return Ok(());
        }
        if let Some(world) = self.this.world(self.py()) {
            world.call_method0(name!("look_at_network"))?;
        }
        self.poll_system()
    }

    /// Queues the handlers of what is ready on the descriptors of simulated sockets.
    fn poll_system(&self) -> PyResult<()> {
        Simulation::poll(self.owner.cast::<Loop>()?)
    }

    /// Lets what was under way and has got here land from now on.
    fn mature(&self) {
        self.this.state.with(self.py(), |state| {
            let count = state.under_way.partition_point(|under_way| under_way.from <= state.now);
            state.arrivals.extend(state.under_way.drain(..count).map(|under_way| under_way.arrival));
        });
    }

    /// Moves due timers to the queue. `idle_since` is what the clock of an idle loop showed before the poll; that of a busy
    /// one may have gone on to timers that are due soon.
    fn land_timers(&self, idle_since: Option<f64>) -> PyResult<()> {
        let py = self.py();
        let (began, stall) = self.this.state.with(py, |state| (state.now, state.stall));
        let can_stall = stall > 0.0 && self.this.state.with(py, |state| state.tape.allows(Freedom::Stall));
        let sleeps_vary = self.this.state.with(py, |state| state.tape.allows(Freedom::Latency));
        let end = if sleeps_vary { f64::INFINITY } else { began + stall.max(0.0) + RESOLUTION };
        let mut armed = self.owner.get().armed_timers(py, end);
        let mut last: Option<ArmedTimer<'py>> = None;
        // A timer is due for certain if the clock has shown its deadline before this poll.
        let mut moved = idle_since.is_some_and(|before| before < began);
        let mut are_held = false;
        while let Some(first) = armed.first() {
            let now = self.this.state.with(py, |state| state.now);
            if first.deadline <= now + RESOLUTION {
                let is_left_behind = self.this.state.with(py, |state| state.is_left_behind(first.sequence));
                let can_wait = can_stall && (moved || is_left_behind);
                let may_be_none = idle_since.is_none() && is_left_behind;
                if can_wait && last.as_ref().map_or(may_be_none, |last| self.are_apart(last, first)) {
                    let cost = if last.is_none() { FINE } else { 1 };
                    if self.choose(Freedom::Stall, cost, 2) == 1 {
                        self.this.tell(py, "waits for a later turn", MOMENT, Some(first.handle.clone()))?;
                        self.hold(&mut armed, moved);
                        are_held = true;
                        continue;
                    }
                }
            } else {
                // The clock has not reached those that wait.
                if are_held || !can_stall || first.deadline > began + stall || self.choose(Freedom::Stall, 1, 2) == 0 {
                    return Ok(());
                }
                let what = if idle_since.is_none() { "is due meanwhile" } else { "is due in the same turn" };
                self.this.tell(py, what, first.deadline - now, Some(first.handle.clone()))?;
                self.this.state.with(py, |state| state.now = first.deadline);
                moved = true;
            }
            let chosen = self.choose_timer(&armed)?;
            let timer = armed.remove(chosen);
            self.this.state.with(py, |state| {
                state.now = state.now.max(timer.deadline);
                state.outcome = mix(state.outcome, timer.sequence | 1 << 62);
            });
            self.owner.get().land_timer(py, timer.sequence)?;
            last = Some(timer);
        }
        Ok(())
    }

    /// Leaves timers for a later turn: all that are armed if the clock has just moved to their deadline, otherwise those
    /// that were left before.
    fn hold(&self, armed: &mut Vec<ArmedTimer<'py>>, all: bool) {
        self.this.state.with(self.py(), |state| {
            if all {
                let end = state.now + RESOLUTION;
                state.left_behind =
                    armed.iter().filter(|timer| timer.deadline <= end).map(|timer| timer.sequence).collect();
                state.left_at = state.now;
                armed.clear();
            } else {
                armed.retain(|timer| !state.is_left_behind(timer.sequence));
            }
        });
    }

    /// Which of the armed timers lands next.
    fn choose_timer(&self, armed: &[ArmedTimer<'py>]) -> PyResult<usize> {
        let py = self.py();
        let equal = armed.iter().take_while(|timer| timer.deadline <= armed[0].deadline).count();
        let chosen = self.choose(Freedom::Tie, 1, equal);
        if chosen > 0 {
            self.this.tell(py, "ties and is first", 0.0, Some(armed[chosen].handle.clone()))?;
            return Ok(chosen);
        }
        // Sleeps may be overtaken by other sleeps, never by timers that are due later.
        let sleeps = armed.iter().take_while(|timer| timer.is_sleep).count();
        let chosen = self.choose(Freedom::Latency, 1, sleeps);
        if chosen > 0 {
            self.this.tell(py, "is faster", 0.0, Some(armed[chosen].handle.clone()))?;
        }
        Ok(chosen)
    }

    /// Whether the clock may stand between two timers: their deadlines differ, or would if the clock went on between the
    /// readings that they were armed at. Two equal deadlines that the program gave itself are one.
    fn are_apart(&self, earlier: &ArmedTimer<'_>, later: &ArmedTimer<'_>) -> bool {
        let (low, high) = (earlier.sequence.min(later.sequence), earlier.sequence.max(later.sequence));
        (earlier.deadline - later.deadline).abs() > 0.0
            || self.this.state.with(self.py(), |state| {
                if [low, high].iter().all(|timer| state.relative.binary_search(timer).is_err()) {
                    return false;
                }
                let after = state.readings.partition_point(|reading| *reading <= low);
                state.readings.get(after).is_some_and(|reading| *reading <= high)
            })
    }

    /// Nothing is ready, armed or pending. Python waits for foreign threads or raises.
    fn nothing_left(&self) -> PyResult<()> {
        match self.this.world(self.py()) {
            Some(world) => world.call_method0(name!("nothing_left")).map(drop),
            None => Err(ferrio_cpython::error::<pyo3::exceptions::PyRuntimeError>("the simulation is over")),
        }
    }

    /// While a foreign thread may call the loop, virtual time runs as fast as real time.
    fn let_real_time_pass(&self, until: f64) -> PyResult<()> {
        let seconds = until - self.this.state.with(self.py(), |state| state.now);
        match self.this.world(self.py()) {
            Some(world) if seconds > 0.0 => world.call_method1(name!("wait"), (seconds,)).map(drop),
            _ => Ok(()),
        }
    }

    fn note_step(&self, task: &Object<'py>) -> PyResult<()> {
        let number = ferrio_cpython::objects::loop_base::task_number(task);
        let is_cancelled = self.this.state.with(self.py(), |state| {
            state.outcome = mix(state.outcome, number);
            let steps = state.steps.entry(number).or_default();
            *steps += 1;
            state.cancel == Some((number, *steps))
        });
        if is_cancelled && !task.call_method0(name!("done"))?.is_truthy()? {
            self.this.tell(self.py(), "is cancelled", 0.0, Some(task.clone()))?;
            task.call_method0(name!("cancel"))?;
        }
        Ok(())
    }

    /// Where any callback that is ready may run next, leaves one in the queue.
    fn choose_callback(&self) -> PyResult<()> {
        let py = self.py();
        let base = self.owner.get();
        let ready = base.ready_count(py);
        if ready < 2 || !self.this.state.with(py, |state| state.tape.allows(Freedom::Any)) {
            return Ok(());
        }
        let chosen = self.choose(Freedom::Any, 1, ready);
        let mut all = base.take_ready(py, 0);
        let next = all.remove(chosen.min(all.len() - 1));
        base.push(py, next)?;
        if chosen > 0 {
            self.this.tell(py, "runs before others that were ready", 0.0, None)?;
        }
        let before = self.this.state.with(py, |state| std::mem::replace(&mut state.set_aside, all));
        drop(before);
        Ok(())
    }

    /// Puts back what `choose_callback` set aside, before what was queued since.
    fn put_back(&self) -> PyResult<()> {
        let py = self.py();
        let aside = self.this.state.with(py, |state| std::mem::take(&mut state.set_aside));
        if aside.is_empty() {
            return Ok(());
        }
        let base = self.owner.get();
        let newer = base.take_ready(py, 0);
        base.reserve(py, aside.len() + newer.len())?;
        for runnable in aside.into_iter().chain(newer) {
            base.push_reserved(py, runnable);
        }
        Ok(())
    }
}
