//! The watcher's thread: looks at each pulse, opens blocks and asks for samples.
//!
//! A look counts the time since the last one, if the loop has not gone on meanwhile. It counts nothing when it comes
//! late itself: then the process was stopped, or the machine suspended or short of processors; nor while the loop's
//! thread is stopped by a debugger. So what is counted is never longer than the callback has run, and a block is found
//! between one limit and a limit and two looks after it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::pulse::{Phase, Pulse};
use super::{Sample, Shared};
use crate::inspection::state_of_thread;

/// How many times the watcher looks within the limit.
const LOOKS: u32 = 4;

/// The watcher looks no more often than that.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

/// How long a sample may take before what can be known without the interpreter's lock is published.
const PATIENCE: Duration = Duration::from_millis(100);

/// The longest time between two samples of one block; the first ones follow faster.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// The number of the next block: one in the process, also when the watchdog is started again.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A loop, as the watcher saw it last.
struct Watched {
    pulse: Arc<Pulse>,
    beats: u64,
    /// For how long it has not gone on since then.
    lasted: Duration,
    open: Option<Open>,
}

/// A block that lasts.
struct Open {
    number: u64,
    /// When the last sample was asked for.
    asked: Instant,
    /// The time to the next one.
    interval: Duration,
    /// The sample that was asked for last has been waited for long enough.
    is_overdue: bool,
}

/// Watches until the watchdog is to end.
pub(super) fn watch(shared: &Shared) {
    let tick = (shared.limit / LOOKS).max(SHORTEST_TICK);
    let mut watched: Vec<Watched> = Vec::new();
    let mut last = Instant::now();
    while shared.wait_for_look(tick) {
        let now = Instant::now();
        let passed = now - last;
        last = now;
        let (counted, stopped) = if passed > tick * 2 { (Duration::ZERO, passed) } else { (passed, Duration::ZERO) };
        update(&mut watched, &shared.lock().pulses, now, shared.limit);
        for each in &mut watched {
            each.pulse.discount(nanoseconds(stopped));
            each.pulse.note_look(nanoseconds(tick * 2));
            each.look(shared, now, counted);
        }
    }
}

/// Makes `watched` follow the loops that run.
fn update(watched: &mut Vec<Watched>, pulses: &[Arc<Pulse>], now: Instant, limit: Duration) {
    watched.retain(|each| pulses.iter().any(|pulse| Arc::ptr_eq(pulse, &each.pulse)));
    for pulse in pulses {
        if !watched.iter().any(|each| Arc::ptr_eq(pulse, &each.pulse)) && watched.try_reserve(1).is_ok() {
            let (pulse, beats) = (Arc::clone(pulse), pulse.beats());
            // A block may be open from before a fork, for which the threads had ended.
            let number = Some(pulse.block()).filter(|number| *number != 0);
            let open = number.map(|number| Open { number, asked: now, interval: limit, is_overdue: false });
            watched.push(Watched { pulse, beats, lasted: Duration::ZERO, open });
        }
    }
}

impl Watched {
    fn look(&mut self, shared: &Shared, now: Instant, counted: Duration) {
        self.pulse.ask();
        let beats = self.pulse.beats();
        if beats != self.beats || self.pulse.phase() == Phase::Waiting {
            self.beats = beats;
            self.lasted = Duration::ZERO;
            self.end(shared);
            return;
        }
        self.lasted += counted;
        if self.lasted < shared.limit {
            return;
        }
        if state_of_thread(self.pulse.thread()).is_some_and(|state| matches!(state, 'T' | 't')) {
            if self.open.is_none() {
                self.lasted = Duration::ZERO;
            }
            return;
        }
        match &self.open {
            None => self.open(shared, now),
            Some(open) if open.asked + open.interval <= now => self.ask_again(shared, now),
            Some(open) if !open.is_overdue && open.asked + PATIENCE <= now => self.describe(shared),
            Some(_) => {}
        }
    }

    fn open(&mut self, shared: &Shared, now: Instant) {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed); // Relaxed: only the number matters.
        self.pulse.open_block(number, nanoseconds(self.lasted));
        if self.pulse.beats() != self.beats {
            // The callback has ended meanwhile; if it has closed the block too, nothing is known of that number.
            let _ = self.pulse.close_block();
            return;
        }
        self.open = Some(Open { number, asked: now, interval: shared.limit, is_overdue: false });
        self.request(shared, number);
    }

    /// Asks for a further sample, unless the last one still waits.
    fn ask_again(&mut self, shared: &Shared, now: Instant) {
        let Some(open) = &mut self.open else { return };
        open.interval = (open.interval * 2).min(LONGEST_INTERVAL.max(shared.limit));
        open.asked = now;
        let number = open.number;
        if !self.request(shared, number) {
            self.describe(shared);
        } else if let Some(open) = &mut self.open {
            open.is_overdue = false;
        }
    }

    /// Whether a sample was asked for: not if one of this block still waits.
    fn request(&self, shared: &Shared, block: u64) -> bool {
        let mut state = shared.lock();
        let waits = state.in_progress == Some(block) || state.samples.iter().any(|sample| sample.block == block);
        if waits || state.samples.try_reserve(1).is_err() {
            return false;
        }
        state.samples.push_back(Sample { owner: self.pulse.owner(), block, lasted: self.lasted });
        drop(state);
        shared.changed.notify_all();
        true
    }

    /// Publishes what is known without the interpreter's lock, if the sample still waits for it.
    fn describe(&mut self, shared: &Shared) {
        let Some(open) = &mut self.open else { return };
        open.is_overdue = true;
        let number = open.number;
        {
            let state = shared.lock();
            let waits = state.in_progress == Some(number) || state.samples.iter().any(|one| one.block == number);
            if !waits {
                return;
            }
        }
        let report = (shared.describe)(number, &self.pulse, self.lasted);
        if self.pulse.block() != number || self.pulse.beats() != self.beats {
            return;
        }
        let mut state = shared.lock();
        state.partial.retain(|(of, _)| *of != number);
        if state.partial.try_reserve(1).is_ok() {
            state.partial.push((number, report.clone()));
        }
        let audience = state.audience.clone();
        drop(state);
        if let Some(audience) = audience {
            audience.note_block(number, Some(&report));
            audience.publish(&report);
        }
    }

    /// The block, if there is one, has ended. What was published of it is kept for the report of its end.
    fn end(&mut self, shared: &Shared) {
        if let Some(open) = self.open.take() {
            let mut state = shared.lock();
            state.samples.retain(|sample| sample.block != open.number);
            // Only the last few: the end of a block is reported soon after it.
            let excess = state.partial.len().saturating_sub(MOST_PARTIAL);
            state.partial.drain(..excess);
            if let Some(audience) = &state.audience {
                audience.note_block(open.number, None);
            }
        }
    }
}

/// How many partial reports are kept for their blocks' ends.
const MOST_PARTIAL: usize = 16;

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
