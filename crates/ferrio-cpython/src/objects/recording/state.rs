//! What a timeline knows: who pushed what is in the queue, what runs, and the flight recorder.
//!
//! Invariant: `pushed` tells of `noted` items: the one that runs, if one does that is not in `interrupted`, and then
//! those at the front of the queue. The first `counted` of them are in the times of their tasks already.

use std::collections::VecDeque;

use ferrio_engine::{Durations, FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;

use super::number::Number;
use super::table::Entry;
use super::times::Waker;
use crate::capi::gil_cell::GilCell;

/// How a step has ended, in the detail of its record.
pub(super) const WAITS: u8 = 0;
pub(super) const YIELDS: u8 = 1;
pub(super) const ENDS: u8 = 2;

/// How many groups of pushed items there is room for from the beginning.
const GROUPS: usize = 64;

/// The timeline of one loop.
pub(crate) struct Timeline {
    /// The loop's address.
    pub(super) owner: usize,
    pub(super) state: GilCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) ring: FlightRing,
    pub(super) polls: Durations,
    pub(super) waits: Durations,
    pub(super) pushed: VecDeque<Group>,
    /// How many items the groups have.
    pub(super) noted: usize,
    /// How many of them are counted in the times of their tasks.
    pub(super) counted: usize,
    /// How many callbacks run: more than one if one runs the loop again.
    pub(super) depth: usize,
    /// Those of them that run the loop again.
    pub(super) interrupted: Vec<Item>,
    /// Nothing has begun since recording did: a callback may have run then that nobody saw begin.
    pub(super) is_fresh: bool,
    /// When the last callback ended or, while one runs, when it began; 0 if other work was done since then.
    pub(super) last_end: u64,
    /// When the poll that lasts began; 0 for none.
    pub(super) polling_since: u64,
    /// The system's number of the thread that runs the loop; 0 if it does not run.
    pub(super) thread: u32,
}

/// Items that stand side by side in the queue, pushed by the same.
pub(super) struct Group {
    pub(super) items: usize,
    pub(super) push: Push,
}

/// Who has pushed an item, and when that was seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Push {
    pub(super) by: Waker,
    pub(super) at: u64,
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
}

impl State {
    /// Makes room for a ring of `length` records. False if there is no memory for it.
    pub(super) fn reserve(&mut self, length: usize) -> bool {
        self.ring.reserve(length) && self.pushed.try_reserve(GROUPS).is_ok()
    }

    /// A callback begins that is one of `items`. Returns true, and has done nothing, if others run around it.
    #[inline]
    pub(super) fn begin(&mut self, items: usize) -> bool {
        if self.depth != 0 {
            return true;
        }
        self.depth = 1;
        let mut by = Waker::OUTSIDE;
        if self.last_end == 0 {
            self.last_end = monotonic();
            if std::mem::take(&mut self.is_fresh) {
                by = Waker::UNKNOWN;
            }
        }
        if self.noted != items {
            self.note_all(items, Push { by, at: self.last_end });
        }
        false
    }

    /// A callback begins inside one that runs the loop again, whose item is put aside.
    #[cold]
    pub(super) fn begin_nested(&mut self, items: usize, outer: Waker) {
        if self.interrupted.len() < self.depth && self.interrupted.try_reserve(1).is_ok() {
            let item = self.take();
            self.interrupted.push(item);
        }
        self.depth += 1;
        self.last_end = monotonic();
        self.note_all(items, Push { by: outer, at: self.last_end });
    }

    /// The item at the front was taken from the queue.
    #[inline]
    pub(super) fn take(&mut self) -> Item {
        let since = self.last_end;
        let Some(group) = self.pushed.front_mut() else {
            return Item { push: Push { by: Waker::UNKNOWN, at: since }, is_counted: false, since };
        };
        let push = group.push;
        group.items -= 1;
        if group.items == 0 {
            self.pushed.pop_front();
        }
        self.noted -= 1;
        let is_counted = self.counted != 0;
        self.counted -= usize::from(is_counted);
        Item { push, is_counted, since }
    }

    pub(super) fn take_all(&mut self) {
        self.pushed.clear();
        self.noted = 0;
        self.counted = 0;
    }

    /// There are `items` now.
    #[inline]
    pub(super) fn note_all(&mut self, items: usize, push: Push) {
        if self.noted > items {
            // Somebody has emptied the queue.
            self.take_all();
        }
        self.note_pushed(items, push);
    }

    #[inline]
    pub(super) fn note_pushed(&mut self, items: usize, push: Push) {
        let more = items - self.noted;
        if more == 0 {
            return;
        }
        self.noted = items;
        if self.pushed.len() == self.pushed.capacity() && self.pushed.try_reserve(1).is_err() {
            // Without memory, what pushed the last ones has pushed these too.
            match self.pushed.back_mut() {
                Some(last) => last.items += more,
                None => self.noted = 0,
            }
        } else {
            self.pushed.push_back(Group { items: more, push });
        }
    }

    #[inline]
    pub(super) fn note_step(
        &mut self,
        number: Number,
        entry: &mut Entry,
        ran: &Ran,
        item: &Item,
        now: u64,
        ready: usize,
    ) -> Waker {
        let took = now.saturating_sub(item.since);
        let waited = item.since.saturating_sub(item.push.at);
        let times = &mut entry.times;
        if !item.is_counted {
            times.woken(item.push.by);
        }
        times.scheduled += waited;
        times.ran(took);
        self.waits.record(waited);
        self.polls.record(took);
        self.record(ran, item, now, ready, number.serial, entry.label);
        Waker::of(number)
    }

    pub(super) fn note_callback(&mut self, ran: &Ran, item: &Item, now: u64, ready: usize) -> Waker {
        self.record(ran, item, now, ready, 0, 0);
        Waker::CALLBACK
    }

    /// Adds to the ring what ran: a task's step, or a callback if `serial` is 0.
    #[inline]
    pub(super) fn record(&mut self, ran: &Ran, item: &Item, now: u64, ready: usize, serial: u64, label: u64) {
        let record = FlightRecord::new(ran.kind, item.since, serial, ran.label).detail(ran.detail);
        let record = record.lasted(now.saturating_sub(item.since), ready);
        self.ring.push(record.pushed(item.push.by.code, item.push.at));
        if ran.detail == ENDS && serial != 0 {
            self.ring.push(FlightRecord::new(FlightKind::Done, now, serial, label));
        }
    }
}
