//! What a timeline knows: who pushed what is in the queue, what runs, and the flight recorder.
//!
//! Invariant: `pushes` tells of `noted` items: the one that runs, if one does that is not in `interrupted`, and then
//! those at the front of the queue. The first `counted` of them are in the times of their tasks already.
//!
//! What a step takes is inlined into the loop over the log (`switch_100`).

use ferrio_engine::{Durations, FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;

use super::log::Step;
use super::number::Number;
use super::pushes::{Push, Pushes};
use super::table::Entry;
use super::times::Waker;

/// How a step has ended, in the detail of its record.
pub(super) const WAITS: u8 = 0;
pub(super) const YIELDS: u8 = 1;
pub(super) const ENDS: u8 = 2;

#[derive(Default)]
pub(super) struct State {
    pub(super) ring: FlightRing,
    pub(super) polls: Durations,
    pub(super) waits: Durations,
    pub(super) callbacks: Durations,
    pub(super) pushes: Pushes,
    /// How often the loop has asked the system for events.
    pub(super) system_polls: u64,
    /// How many items the pushes have.
    pub(super) noted: usize,
    /// How many of them are counted in the times of their tasks.
    pub(super) counted: usize,
    /// How many callbacks run, if one runs or has run the loop again.
    pub(super) depth: usize,
    /// The running callbacks that run the loop again.
    pub(super) interrupted: Vec<Item>,
    /// Nothing has begun since recording did: a callback may have run then that nobody saw begin.
    pub(super) is_fresh: bool,
    /// When the last callback ended or, while one runs, when it began; 0 if other work was done since then.
    pub(super) last_end: u64,
    /// The system's number of the thread that runs the loop; 0 if it does not run.
    pub(super) thread: u32,
}

/// An item that was taken from the queue.
pub(super) struct Item {
    pub(super) push: Push,
    pub(super) is_counted: bool,
    /// When it began to run.
    pub(super) since: u64,
}

/// What has run, and how it has ended.
pub(super) struct Ran {
    pub(super) kind: FlightKind,
    pub(super) detail: u8,
    /// What is awaited, or was called.
    pub(super) label: u64,
    /// When it ended, and how many callbacks were ready then.
    pub(super) until: u64,
    pub(super) ready: usize,
}

/// The push of an item about which nothing is known.
#[cold]
#[inline(never)]
fn unknown_push(at: u64) -> Push {
    Push { by: Waker::UNKNOWN, at }
}

impl State {
    /// Makes room for a ring of `length` records. False if there is no memory for it.
    pub(super) fn reserve(&mut self, length: usize) -> bool {
        self.ring.reserve(length) && self.pushes.reserve()
    }

    /// Notes steps that have ended one after the other, of tasks with these entries, and that have not ended their tasks.
    pub(super) fn note_steps(&mut self, mut steps: &[Step], entries: &mut [Entry]) {
        while !steps.is_empty() {
            let noted = if self.counted == 0 { self.note_uncounted_steps(steps, entries) } else { 0 };
            steps = steps.get(noted..).unwrap_or_default();
            if let Some((step, others)) = steps.split_first().filter(|_| noted == 0) {
                self.note_counted_step(step, entries);
                steps = others;
            }
        }
    }

    #[cold]
    fn note_counted_step(&mut self, step: &Step, entries: &mut [Entry]) {
        let item = self.take();
        let (label, until, ready) = (step.label, step.until, step.ready);
        let ran = Ran { kind: FlightKind::Step, detail: step.detail, label, until, ready };
        let by = match entries.get_mut(step.place as usize) {
            Some(entry) => self.note_step(step.place, entry, &ran, &item),
            None => self.note_callback(&ran, &item),
        };
        self.note_pushed_by(by, &ran);
    }

    /// What `note_counted_step` does, in a short loop; how many steps are noted.
    fn note_uncounted_steps(&mut self, steps: &[Step], entries: &mut [Entry]) -> usize {
        let Self { ring, polls, waits, pushes, noted, last_end, .. } = self;
        let mut since = *last_end;
        let mut items = *noted;
        let mut nobody = Entry::of_nobody();
        let records = ring.next_places(steps.len());
        let count = records.len();
        for (step, record) in steps.iter().zip(records) {
            let push = match pushes.take() {
                Some(push) => {
                    items -= 1;
                    push
                }
                None => unknown_push(since),
            };
            // There is none if recording has ended.
            let entry = entries.get_mut(step.place as usize).unwrap_or(&mut nobody);
            let took = step.until.saturating_sub(since);
            let waited = since.saturating_sub(push.at);
            entry.times.woken(push.by);
            entry.times.scheduled += waited;
            entry.times.ran(took);
            waits.record(waited);
            polls.record(took);
            let by = Waker::of(Number { place: step.place, serial: entry.serial });
            let ran = FlightRecord::step(since, entry.serial, step.detail, step.label);
            *record = ran.lasted(took, step.ready).pushed(push.by.code, push.at);
            since = step.until;
            if items != step.ready {
                if items > step.ready {
                    pushes.clear();
                    items = 0;
                }
                if items == step.ready || pushes.add(step.ready - items, Push { by, at: since }) {
                    items = step.ready;
                } else {
                    items = 0;
                }
            }
        }
        (*noted, *last_end) = (items, since);
        count
    }

    /// Begins anew, with `ready` items of which nobody knows who has pushed them.
    pub(super) fn restart(&mut self, ready: usize, thread: u32) {
        self.take_all();
        self.note_all(ready, Push { by: Waker::UNKNOWN, at: monotonic() });
        self.depth = 0;
        self.interrupted.clear();
        self.last_end = 0;
        self.is_fresh = true;
        self.thread = thread;
    }

    /// A callback begins that is one of `items`, and no other one runs.
    pub(super) fn begin(&mut self, items: usize) {
        let mut by = Waker::OUTSIDE;
        if self.last_end == 0 {
            self.last_end = monotonic();
            if std::mem::take(&mut self.is_fresh) {
                by = Waker::UNKNOWN;
            }
        }
        self.note_all(items, Push { by, at: self.last_end });
    }

    /// A callback begins inside one that runs the loop again, whose item is put aside.
    pub(super) fn begin_nested(&mut self, items: usize, outer: Waker) {
        self.depth = self.depth.max(1);
        if self.interrupted.len() < self.depth && self.interrupted.try_reserve(1).is_ok() {
            let item = self.take();
            self.interrupted.push(item);
        }
        self.depth += 1;
        self.last_end = monotonic();
        self.note_all(items, Push { by: outer, at: self.last_end });
    }

    /// A callback has ended that has run the loop again, or runs inside such a one; None if recording began while it
    /// ran.
    pub(super) fn end_nested(&mut self) -> Option<Item> {
        let item = if self.depth == self.interrupted.len() { self.interrupted.pop() } else { None };
        self.depth = self.depth.checked_sub(1)?;
        Some(item.unwrap_or_else(|| self.take()))
    }

    /// What ran has pushed what is there now beyond what was noted.
    #[inline(always)] // `switch_100`, as the others here
    pub(super) fn note_pushed_by(&mut self, by: Waker, ran: &Ran) {
        self.last_end = ran.until;
        if self.noted != ran.ready {
            self.note_all(ran.ready, Push { by, at: ran.until });
        }
    }

    /// The item at the front was taken from the queue.
    #[inline(always)] // as above
    pub(super) fn take(&mut self) -> Item {
        let since = self.last_end;
        let Some(push) = self.pushes.take() else {
            return Item { push: unknown_push(since), is_counted: false, since };
        };
        self.noted -= 1;
        let is_counted = self.counted != 0;
        if is_counted {
            self.counted -= 1;
        }
        Item { push, is_counted, since }
    }

    fn take_all(&mut self) {
        self.pushes.clear();
        self.noted = 0;
        self.counted = 0;
    }

    /// There are `items` now; `push` tells of those that are not noted.
    #[inline]
    pub(super) fn note_all(&mut self, items: usize, push: Push) {
        if self.noted > items {
            // Somebody has emptied the queue.
            self.take_all();
        }
        let more = items - self.noted;
        if more != 0 {
            self.noted = if self.pushes.add(more, push) { items } else { 0 };
        }
    }

    #[inline(always)] // as above
    pub(super) fn note_step(&mut self, place: u32, entry: &mut Entry, ran: &Ran, item: &Item) -> Waker {
        let took = ran.until.saturating_sub(item.since);
        let waited = item.since.saturating_sub(item.push.at);
        let times = &mut entry.times;
        if !item.is_counted {
            times.woken(item.push.by);
        }
        times.scheduled += waited;
        times.ran(took);
        self.waits.record(waited);
        self.polls.record(took);
        self.record(ran, item, entry.serial, entry.label);
        Waker::of(Number { place, serial: entry.serial })
    }

    #[inline(always)] // `uvicorn_request`
    pub(super) fn note_callback(&mut self, ran: &Ran, item: &Item) -> Waker {
        self.callbacks.record(ran.until.saturating_sub(item.since));
        self.record(ran, item, 0, 0);
        Waker::CALLBACK
    }

    /// Adds to the ring what ran: a task's step, or a callback if `serial` is 0.
    #[inline(always)] // as above
    pub(super) fn record(&mut self, ran: &Ran, item: &Item, serial: u64, label: u64) {
        let record = FlightRecord::new(ran.kind, item.since, serial, ran.label).detail(ran.detail);
        let record = record.lasted(ran.until.saturating_sub(item.since), ran.ready);
        self.ring.push(record.pushed(item.push.by.code, item.push.at));
        if ran.detail == ENDS && serial != 0 {
            self.note_done(ran.until, serial, label);
        }
    }

    #[cold]
    fn note_done(&mut self, now: u64, serial: u64, label: u64) {
        self.ring.push(FlightRecord::new(FlightKind::Done, now, serial, label));
    }
}
