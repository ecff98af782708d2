//! A runtime's worker threads.
//!
//! A worker is started when a job comes and none is idle, up to asyncio's limit. Dropping the pool ends the workers
//! after the jobs that are queued, and waits for them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The most workers of a pool, however many processors there are.
const MOST: usize = 32;

/// A function that a worker calls. It does not panic.
pub(super) struct Job(pub(super) Box<dyn FnOnce() + Send>);

pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: RefCell<Vec<JoinHandle<()>>>,
    most: usize,
}

struct Shared {
    queue: Mutex<JobQueue>,
    changed: Condvar,
}

struct JobQueue {
    jobs: VecDeque<Job>,
    /// Workers that wait, or are about to begin.
    idle: usize,
    is_closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, JobQueue> {
        // No foreign code runs while it is locked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool without workers.
    pub(super) fn new() -> Self {
        let queue = Mutex::new(JobQueue { jobs: VecDeque::new(), idle: 0, is_closed: false });
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { shared, workers: RefCell::default(), most: MOST.min(processors + 4) }
    }

    /// Queues a job.
    ///
    /// # Errors
    ///
    /// Fails if there is no worker, and the system refuses to start one.
    pub(super) fn submit(&self, job: Job) -> io::Result<()> {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(job);
        let needs_worker = queue.jobs.len() > queue.idle && self.workers.borrow().len() < self.most;
        queue.idle += usize::from(needs_worker);
        drop(queue);
        if !needs_worker {
            self.shared.changed.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name("ferrio-worker".to_owned()).spawn(move || work(&shared)) {
            Ok(worker) => self.workers.borrow_mut().push(worker),
            Err(error) => {
                self.shared.lock().idle -= 1;
                if self.workers.borrow().is_empty() {
                    let jobs = std::mem::take(&mut self.shared.lock().jobs);
                    drop(jobs);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers.take() {
            // A worker does not panic, because its jobs do not.
            let _ = worker.join();
        }
    }
}

/// Does jobs until the pool is closed. The worker is counted as idle when it begins.
fn work(shared: &Shared) {
    let mut queue = shared.lock();
    loop {
        if let Some(Job(function)) = queue.jobs.pop_front() {
            queue.idle -= 1;
            drop(queue);
            function();
            queue = shared.lock();
            queue.idle += 1;
        } else if queue.is_closed {
            return;
        } else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
