//! `Pulse`: what a loop's thread tells the watcher while it is watched, without a lock.
//!
//! The loop's thread alone writes `beats`, `phase`, `task` and the thread's numbers; the watcher alone opens a block,
//! and the loop's thread closes it. Each value is independent of the others, so relaxed accesses do: a value that the
//! watcher reads late only postpones a report by one look, and a block that is opened in the moment in which the
//! callback ends is closed by the next one.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::delays::Delays;
use crate::clock::monotonic;

const RUNNING: u8 = 0;
const WAITING: u8 = 1;
const REGAINING: u8 = 2;

/// What the loop's thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It runs a callback, or the loop's own code between two.
    Running,
    /// It waits for events.
    Waiting,
    /// Events have come, and it waits for the interpreter's lock.
    Regaining,
}

/// The signs of life of one loop.
#[derive(Debug, Default)]
pub struct Pulse {
    /// The loop's address.
    owner: usize,
    /// How many callbacks have begun, and sleeps ended.
    beats: AtomicU64,
    phase: AtomicU8,
    /// The address of the task whose step has begun last; 0 if it was another callback.
    task: AtomicUsize,
    /// The number of the block that is open; 0 for none.
    block: AtomicU64,
    /// When it began, in nanoseconds of the monotonic clock; time in which the process was stopped is added.
    began: AtomicU64,
    /// When the watcher has looked last, and how long after that it is late: then the process was stopped meanwhile.
    looked: AtomicU64,
    late_after: AtomicU64,
    /// The system's number of the thread that runs the loop.
    thread: AtomicU32,
    /// The address of the interpreter's state of that thread.
    state: AtomicUsize,
    /// The address of the frame object of the code that runs the loop; 0 if that is not known.
    frame: AtomicUsize,
    /// When the watcher has asked how long the loop takes to look for events; 0 if it has been answered.
    asked: AtomicU64,
    /// How long it took.
    pub delays: Delays,
}

impl Pulse {
    /// The pulse of the loop at this address.
    #[must_use]
    pub fn new(owner: usize) -> Self {
        Self { owner, ..Self::default() }
    }

    /// The loop runs in this thread from now on.
    pub fn begin_run(&self, thread: u32, state: usize, frame: usize) {
        self.thread.store(thread, Ordering::Relaxed);
        self.frame.store(frame, Ordering::Relaxed);
        self.state.store(state, Ordering::Relaxed);
        self.end_wait();
    }

    /// A callback begins; `task` is the address of the task whose step it is, or 0.
    #[inline]
    pub fn beat(&self, task: usize) {
        self.task.store(task, Ordering::Relaxed);
        self.beats.store(self.beats.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The loop looks for events.
    #[inline]
    pub fn look_for_events(&self) {
        if self.asked.load(Ordering::Relaxed) != 0 {
            self.answer();
        }
    }

    #[cold]
    fn answer(&self) {
        let asked = self.asked.swap(0, Ordering::Relaxed);
        self.delays.record(monotonic().saturating_sub(asked));
    }

    /// The loop's thread is about to wait for events.
    pub fn begin_wait(&self) {
        self.phase.store(WAITING, Ordering::Relaxed);
    }

    /// Events have come; the thread has not got the interpreter's lock yet.
    pub fn regain(&self) {
        self.beat(0);
        self.phase.store(REGAINING, Ordering::Relaxed);
    }

    /// The loop goes on.
    pub fn end_wait(&self) {
        self.phase.store(RUNNING, Ordering::Relaxed);
        self.beat(0);
    }

    /// Closes the block that is open: its number, and for how long it has lasted in nanoseconds.
    #[inline]
    pub fn close_block(&self) -> Option<(u64, u64)> {
        if self.block.load(Ordering::Relaxed) == 0 { None } else { self.close_open_block() }
    }

    #[cold]
    fn close_open_block(&self) -> Option<(u64, u64)> {
        let block = self.block.swap(0, Ordering::Relaxed);
        let lasted = self.end_of_counted_time().saturating_sub(self.began.load(Ordering::Relaxed));
        (block != 0).then_some((block, lasted))
    }

    /// Now; or when the watcher has looked last, if it is late: it has not discounted the time since then.
    fn end_of_counted_time(&self) -> u64 {
        let (now, looked) = (monotonic(), self.looked.load(Ordering::Relaxed));
        let late_after = self.late_after.load(Ordering::Relaxed);
        if late_after != 0 && now.saturating_sub(looked) > late_after { looked } else { now }
    }

    /// The block that is open; 0 for none.
    #[inline]
    #[must_use]
    pub fn block(&self) -> u64 {
        self.block.load(Ordering::Relaxed)
    }

    /// The loop's address.
    #[must_use]
    pub fn owner(&self) -> usize {
        self.owner
    }

    /// The address of the task whose step has begun last; 0 if it was another callback.
    #[must_use]
    pub fn task(&self) -> usize {
        self.task.load(Ordering::Relaxed)
    }

    /// The address of the interpreter's state of the loop's thread.
    #[must_use]
    pub fn state(&self) -> usize {
        self.state.load(Ordering::Relaxed)
    }

    /// The address of the frame object of the code that runs the loop; 0 if that is not known.
    #[must_use]
    pub fn frame(&self) -> usize {
        self.frame.load(Ordering::Relaxed)
    }

    pub(super) fn thread(&self) -> u32 {
        self.thread.load(Ordering::Relaxed)
    }

    pub(super) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// What the loop's thread does.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            WAITING => Phase::Waiting,
            REGAINING => Phase::Regaining,
            _ => Phase::Running,
        }
    }

    /// Opens a block that has lasted for `lasted` nanoseconds.
    pub(super) fn open_block(&self, block: u64, lasted: u64) {
        self.began.store(monotonic().saturating_sub(lasted), Ordering::Relaxed);
        self.block.store(block, Ordering::Relaxed);
    }

    /// The watcher looks; it is late if it does not do so again within this time, in nanoseconds.
    pub(super) fn note_look(&self, late_after: u64) {
        self.looked.store(monotonic(), Ordering::Relaxed);
        self.late_after.store(late_after, Ordering::Relaxed);
    }

    /// Does not count this time, in nanoseconds, in which the process was stopped.
    pub(super) fn discount(&self, stopped: u64) {
        self.began.fetch_add(stopped, Ordering::Relaxed);
    }

    /// Asks how long the loop takes to look for events: no time while it waits for them.
    pub(super) fn ask(&self) {
        if self.phase() == Phase::Waiting {
            self.asked.store(0, Ordering::Relaxed);
            self.delays.record(0);
        } else if self.asked.load(Ordering::Relaxed) == 0 {
            self.asked.store(monotonic(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    fn wait(milliseconds: u64) {
        let until = monotonic() + milliseconds * MILLISECOND;
        while monotonic() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_block_lasts_until_it_is_closed() {
        let pulse = Pulse::new(1);
        pulse.note_look(u64::MAX);
        pulse.open_block(7, 3 * MILLISECOND);
        wait(5);
        let (block, lasted) = pulse.close_block().expect("a block");
        assert_eq!(block, 7);
        assert!(lasted >= 8 * MILLISECOND);
        assert_eq!(pulse.close_block(), None);
    }

    #[test]
    fn time_that_no_look_has_seen_does_not_count() {
        let pulse = Pulse::new(1);
        pulse.note_look(MILLISECOND);
        pulse.open_block(7, 0);
        wait(200);
        let (_, lasted) = pulse.close_block().expect("a block");
        assert!(lasted < 200 * MILLISECOND);
    }
}
