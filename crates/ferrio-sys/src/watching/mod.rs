//! Watches loops from threads of its own, and says so *while* a callback takes too long.
//!
//! Two threads: the *watcher* looks at the pulse of each running loop several times within the limit, and waits for
//! nothing else. The *sampler* calls the caller's function, which takes the stack of the loop's thread, and may have to
//! wait long until the interpreter lets it. If it makes no progress, the watcher publishes what can be known without
//! the interpreter's lock. While no loop runs, the watcher sleeps without end.
//!
//! Invariant: after [`Watchdog::stop`] neither thread runs, so that a fork copies a process without them.

mod delays;
mod pulse;
mod watcher;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use delays::BOUNDS;
pub use pulse::{Phase, Pulse};

use crate::background_threads::{BackgroundThreads, LARGE_STACK, SMALL_STACK};
use crate::inspection;

/// The system's number of this thread; 0 where there is none.
#[cfg(target_os = "linux")]
#[must_use]
pub fn this_thread() -> u32 {
    rustix::thread::gettid().as_raw_pid().cast_unsigned()
}

/// The system's number of this thread; 0 where there is none.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn this_thread() -> u32 {
    0
}

/// A block of which the stack is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The loop's address.
    pub owner: usize,
    /// The number of the block.
    pub block: u64,
    /// How long it has lasted.
    pub lasted: Duration,
}

/// Takes a sample; false ends the sampler.
pub type TakeSample = Box<dyn FnMut(Sample) -> bool + Send>;

/// What is known of a block without the interpreter's lock: the number of the block, the pulse, and how long the block
/// has lasted; gives one line of JSON.
pub type Describe = Box<dyn Fn(u64, &Pulse, Duration) -> Vec<u8> + Send + Sync>;

/// The threads that watch.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    threads: BackgroundThreads,
}

/// What the threads share.
pub struct Shared {
    limit: Duration,
    describe: Describe,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pulses: Vec<Arc<Pulse>>,
    samples: VecDeque<Sample>,
    /// The block whose sample is being taken.
    in_progress: Option<u64>,
    /// What was published of the blocks that are open and whose sample waits for the interpreter.
    partial: Vec<(u64, Vec<u8>)>,
    /// To whom reports go.
    audience: Option<Arc<inspection::Shared>>,
    ending: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Watchdog {
    /// Starts the threads. A callback that runs for longer than `limit` is a block.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(limit: Duration, describe: Describe, take_sample: TakeSample) -> io::Result<Self> {
        let shared = Arc::new(Shared { limit, describe, state: Mutex::default(), changed: Condvar::new() });
        let watchdog = Self { shared, threads: BackgroundThreads::new() };
        let watching = Arc::clone(&watchdog.shared);
        watchdog.threads.spawn("ferrio-watch", SMALL_STACK, move || watcher::watch(&watching))?;
        let sampling = Arc::clone(&watchdog.shared);
        let started = watchdog.threads.spawn("ferrio-sample", LARGE_STACK, move || sampling.sample(take_sample));
        if started.is_err() {
            watchdog.stop();
        }
        started.map(|()| watchdog)
    }

    /// Ends the threads, and waits for it.
    pub fn stop(&self) {
        if self.threads.are_of_the_parent() {
            return;
        }
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        self.threads.join();
    }

    /// What the threads share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a loop from now on. Without memory, it is not watched.
    pub fn add(&self, pulse: &Arc<Pulse>) {
        let mut state = self.lock();
        if !state.pulses.iter().any(|each| Arc::ptr_eq(each, pulse)) && state.pulses.try_reserve(1).is_ok() {
            state.pulses.push(Arc::clone(pulse));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Watches a loop no more.
    pub fn remove(&self, pulse: &Arc<Pulse>) {
        self.lock().pulses.retain(|each| !Arc::ptr_eq(each, pulse));
    }

    /// Sends reports to the clients of this service that watch; None for nobody.
    pub fn set_audience(&self, audience: Option<Arc<inspection::Shared>>) {
        self.lock().audience = audience;
    }

    /// Publishes a line to those who watch.
    pub fn publish(&self, report: &[u8]) {
        let audience = self.lock().audience.clone();
        if let Some(audience) = audience {
            audience.publish(report);
        }
    }

    /// Whether the threads are to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// What was published of a block without the interpreter's lock; forgets it.
    pub fn take_partial(&self, block: u64) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let place = state.partial.iter().position(|(of, _)| *of == block)?;
        Some(state.partial.swap_remove(place).1)
    }

    /// The sampler's thread.
    fn sample(&self, mut take_sample: TakeSample) {
        while let Some(sample) = self.next_sample() {
            let goes_on = take_sample(sample);
            self.lock().in_progress = None;
            if !goes_on {
                return;
            }
        }
    }

    fn next_sample(&self) -> Option<Sample> {
        let waits = self.changed.wait_while(self.lock(), |state| !state.ending && state.samples.is_empty());
        let mut state = waits.unwrap_or_else(PoisonError::into_inner);
        let sample = if state.ending { None } else { state.samples.pop_front() };
        state.in_progress = sample.map(|sample| sample.block);
        sample
    }

    /// Waits until the watcher has to look again: `tick`, if a loop runs. False if it is to end.
    fn wait_for_look(&self, tick: Duration) -> bool {
        let waits = self.changed.wait_while(self.lock(), |state| !state.ending && state.pulses.is_empty());
        let state = waits.unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + tick;
        let mut state = state;
        while !state.ending {
            let remaining = until.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.ending
    }
}
