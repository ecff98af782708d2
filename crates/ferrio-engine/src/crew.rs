//! The crew: the threads of a pool that wait for jobs, and how many of them to wake.
//!
//! Only one worker at a time is on its way. When it takes a job and others remain, it calls the next one. So workers
//! are woken as fast as they can begin, and if jobs are short, one of them does all, and the others go on waiting.
//! Invariant: while jobs wait and a worker is idle, one is on its way.

/// The waiting workers of one pool; `W` is what wakes one.
#[derive(Debug)]
pub struct Crew<W> {
    /// Those that wait; the last one is called first, because its memory is still in the processor's caches.
    idle: Vec<Idle<W>>,
    /// How many were called and have not arrived.
    on_their_way: usize,
}

/// A worker, and since when it waits, in nanoseconds.
#[derive(Debug)]
struct Idle<W> {
    worker: W,
    since: u64,
}

impl<W> Crew<W> {
    /// A crew of nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { idle: Vec::new(), on_their_way: 0 }
    }

    /// A job waits: takes the worker to wake, or None if one is on its way or none is idle.
    #[must_use]
    pub fn call(&mut self) -> Option<W> {
        if self.on_their_way > 0 {
            return None;
        }
        let Idle { worker, .. } = self.idle.pop()?;
        self.on_their_way += 1;
        Some(worker)
    }

    /// A worker that was called looks for a job; the caller then calls the next one if jobs remain.
    pub const fn arrive(&mut self) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
    }

    /// A worker that has found no job waits for one. Returns it if there is no memory to note it.
    ///
    /// # Errors
    /// The worker.
    pub fn stand_by(&mut self, worker: W, now: u64) -> Result<(), W> {
        if self.idle.try_reserve(1).is_err() {
            return Err(worker);
        }
        self.idle.push(Idle { worker, since: now });
        Ok(())
    }

    /// Takes out the worker that has waited longest, if it has waited since `instant` or longer and is not the only one.
    pub fn dismiss(&mut self, instant: u64) -> Option<W> {
        match self.idle.as_slice() {
            // The first one has waited longest: others are called before it.
            [first, _, ..] if first.since <= instant => Some(self.idle.remove(0).worker),
            _ => None,
        }
    }

    /// How many workers are free for jobs: those that are idle or on their way.
    #[must_use]
    pub fn free(&self) -> usize {
        self.idle.len() + self.on_their_way
    }

    /// Forgets all workers: a child made by `fork` has none of them.
    #[must_use = "dropping the workers here is what this method is there to avoid"]
    pub fn take_all(&mut self) -> Vec<W> {
        self.on_their_way = 0;
        std::mem::take(&mut self.idle).into_iter().map(|idle| idle.worker).collect()
    }
}

impl<W> Default for Crew<W> {
    fn default() -> Self {
        Self::new()
    }
}
