//! Answers questions about this process over a Unix socket, from threads of its own.
//!
//! Two threads: the *listener* accepts clients, reads their requests and writes the answers; it never waits for anything
//! but its descriptors. The *collector* asks the caller's function for the answers, and may have to wait long until the
//! interpreter lets it. If it makes no progress for [`PATIENCE`], the listener answers without it, with what it knows
//! itself. Neither exists before [`Service::start`].
//!
//! Invariant: after [`Service::stop`] neither thread runs, so that a fork copies a process without them.

mod client;
mod listener;
mod threads;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use threads::state_of_thread;

use crate::background_threads::{BackgroundThreads, LARGE_STACK, SMALL_STACK};
use crate::{Waker, descriptor};

/// How long a client waits for a collector that makes no progress.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// How many lines wait for the listener at most; more are dropped.
const MOST_REPORTS: usize = 256;

/// What a service needs.
#[derive(Debug)]
pub struct Settings {
    /// A listening Unix socket, which the service copies.
    pub listener: RawFd,
    /// The users that may ask, besides this process's and the superuser.
    pub allowed: Vec<u32>,
    /// The answer to the request `"hello"`.
    pub greeting: Vec<u8>,
    /// The beginning of the answer for when the collector makes no progress: a JSON object without its last brace.
    pub partial: Vec<u8>,
}

/// Answers one request; None ends the collector.
pub type Collect = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

/// The threads that serve a socket.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    threads: BackgroundThreads,
}

/// What the threads share.
#[derive(Debug)]
pub struct Shared {
    /// Ends the listener's wait.
    waker: Waker,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    requests: VecDeque<(u64, Vec<u8>)>,
    answers: Vec<(u64, Vec<u8>)>,
    /// Lines for the clients that watch.
    reports: Vec<Vec<u8>>,
    /// Whether a client watches.
    is_watched: bool,
    /// What is known of blocks that last while nothing makes progress, by their numbers.
    blocks: Vec<(u64, Vec<u8>)>,
    /// When the collector last had the interpreter.
    progress: Instant,
    /// The system's number of the collector's thread; 0 until it runs.
    collector: u32,
    ending: bool,
}

impl Service {
    /// Starts the threads. `make_collect` gets what `collect` needs to report progress.
    ///
    /// # Errors
    /// When there is no memory or no thread to be had.
    pub fn start(settings: Settings, make_collect: impl FnOnce(Arc<Shared>) -> Collect) -> io::Result<Self> {
        let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(descriptor::borrow(settings.listener)?, 0)?;
        let shared = Arc::new(Shared::new()?);
        let collect = make_collect(Arc::clone(&shared));
        let service = Self { shared, threads: BackgroundThreads::new() };
        let listening = Arc::clone(&service.shared);
        service.threads.spawn("ferrio-inspect", SMALL_STACK, move || listener::serve(socket, &settings, &listening))?;
        let collecting = Arc::clone(&service.shared);
        let started = service.threads.spawn("ferrio-collect", LARGE_STACK, move || collecting.collect(collect));
        if started.is_err() {
            service.stop();
        }
        started.map(|()| service)
    }

    /// Ends the threads, and waits for it. Clients see the end of their connection.
    pub fn stop(&self) {
        if self.threads.are_of_the_parent() {
            return;
        }
        self.shared.end();
        self.threads.join();
    }

    /// What the threads share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    fn new() -> io::Result<Self> {
        let state = State {
            requests: VecDeque::new(),
            answers: Vec::new(),
            reports: Vec::new(),
            is_watched: false,
            blocks: Vec::new(),
            progress: Instant::now(),
            collector: 0,
            ending: false,
        };
        Ok(Self { waker: Waker::new()?, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().ending = true;
        self.changed.notify_all();
        // A pipe that is full wakes as well.
        let _ = self.waker.wake();
    }

    /// The collector has the interpreter.
    pub fn note_progress(&self) {
        self.lock().progress = Instant::now();
    }

    /// Whether the service is to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Waits for as long as `pause`, or until the service is to end; whether to go on.
    #[must_use]
    pub fn pause(&self, pause: Duration) -> bool {
        let waits = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.ending);
        !waits.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// The collector's thread.
    fn collect(&self, mut collect: Collect) {
        self.lock().collector = crate::watching::this_thread();
        while let Some((client, request)) = self.next_request() {
            let Some(answer) = collect(&request) else { return };
            self.lock().answers.push((client, answer));
            let _ = self.waker.wake();
        }
    }

    fn next_request(&self) -> Option<(u64, Vec<u8>)> {
        let waits = self.changed.wait_while(self.lock(), |state| !state.ending && state.requests.is_empty());
        let mut state = waits.unwrap_or_else(PoisonError::into_inner);
        if state.ending { None } else { state.requests.pop_front() }
    }

    /// Hands a request to the collector.
    fn ask(&self, client: u64, request: Vec<u8>) {
        self.lock().requests.push_back((client, request));
        self.changed.notify_all();
    }

    /// The client does not wait any more.
    fn forget(&self, client: u64) {
        let mut state = self.lock();
        state.requests.retain(|(of, _)| *of != client);
        state.answers.retain(|(of, _)| *of != client);
    }

    /// Sends a line to the clients that watch.
    pub fn publish(&self, report: &[u8]) {
        let mut state = self.lock();
        if !state.is_watched || state.reports.len() >= MOST_REPORTS || state.reports.try_reserve(1).is_err() {
            return;
        }
        state.reports.push(report.to_vec());
        drop(state);
        let _ = self.waker.wake();
    }

    /// Notes what is known of a block, for answers that are partial; None forgets it.
    pub fn note_block(&self, number: u64, report: Option<&[u8]>) {
        let mut state = self.lock();
        state.blocks.retain(|(of, _)| *of != number);
        if let Some(report) = report
            && state.blocks.try_reserve(1).is_ok()
        {
            state.blocks.push((number, report.to_vec()));
        }
    }

    fn blocks(&self) -> Vec<Vec<u8>> {
        self.lock().blocks.iter().map(|(_, report)| report.clone()).collect()
    }

    /// A client watches from now on.
    fn note_watched(&self) {
        self.lock().is_watched = true;
    }

    /// Notes whether a client watches; gives the lines for those that do.
    fn take_reports(&self, is_watched: bool) -> Vec<Vec<u8>> {
        let mut state = self.lock();
        state.is_watched = is_watched;
        std::mem::take(&mut state.reports)
    }

    fn take_answers(&self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.lock().answers)
    }

    /// When the collector last had the interpreter, and the system's number of its thread.
    fn progress(&self) -> (Instant, u32) {
        let state = self.lock();
        (state.progress, state.collector)
    }
}
