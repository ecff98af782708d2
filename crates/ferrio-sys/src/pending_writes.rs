//! Bytes that a callback has written and that its loop sends when the callback ends; and the thread that sends them if
//! the callback does not end.
//!
//! A callback may wait for an answer to what it has just written. Nothing of the loop's runs meanwhile, so a thread
//! looks every few milliseconds whether the same bytes are still held, and then sends them. It lives only while
//! callbacks hold bytes: arming a timer for each callback would cost more than holding saves.
//!
//! Before a fork by Python the threads of all loops end, so that the interpreter does not warn of a process with several.
//!
//! Invariant: a descriptor is used only under the lock and while its bytes are held; the loop takes the bytes back
//! before it closes the descriptor. A child made by `fork` has neither the thread nor a usable lock: it leaves all to
//! its parent.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::signals::without_signals;
use crate::{fork, socket};

/// How often the thread looks: bytes are held for twice as long at most.
const INTERVAL: Duration = Duration::from_millis(5);

/// The thread ends after so many looks at which nothing has changed.
const IDLE_LOOKS: u32 = 20;

/// Size in bytes of the thread's stack.
const STACK: usize = 64 * 1024;

/// The bytes of one loop.
#[derive(Debug)]
pub struct PendingWrites {
    shared: Arc<Shared>,
    generation: u32,
}

#[derive(Debug, Default)]
struct Shared {
    /// Odd while bytes are held; another number for each callback.
    serial: AtomicU64,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    /// The first `used` are in use, the others keep their memory for later.
    entries: Vec<Entry>,
    used: usize,
    /// Whether the thread runs.
    is_watched: bool,
    /// Python's number of the thread that runs the loop, and the system's.
    owner: (u64, Option<u32>),
}

#[derive(Debug, Default)]
struct Entry {
    fd: RawFd,
    bytes: Vec<u8>,
    /// How many of them the thread has sent.
    sent: usize,
    /// The thread found these bytes held for long, and the loop's thread waiting.
    blocked: bool,
}

/// How a connection's bytes were sent.
#[derive(Debug)]
pub struct Sent {
    /// What was not, to be sent when the socket accepts data again, or the error.
    pub unsent: io::Result<Vec<u8>>,
    /// The callback waited while it held the bytes.
    pub blocked: bool,
}

impl Default for PendingWrites {
    fn default() -> Self {
        Self { shared: Arc::default(), generation: fork::generation() }
    }
}

impl PendingWrites {
    /// Whether this process may use it; a forked child replaces its parent's by [`PendingWrites::abandon`].
    #[inline]
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Gives up what belongs to the parent process, without touching it.
    pub fn abandon(&mut self) {
        std::mem::forget(std::mem::take(self));
    }

    /// Holds `bytes` for the socket `fd`, after those already held in `place`. Returns the place; None if they cannot
    /// be held, for lack of memory or of a thread. `owner` is a number of the calling thread.
    #[must_use]
    pub fn hold(&self, place: Option<usize>, fd: RawFd, bytes: &[u8], owner: u64) -> Option<usize> {
        let mut pending = self.shared.lock();
        let place = pending.place(place, fd)?;
        let entry = &mut pending.entries[place];
        entry.bytes.try_reserve(bytes.len()).ok()?;
        if pending.owner.0 != owner {
            pending.owner = (owner, thread_number());
        }
        if !pending.is_watched {
            pending.is_watched = watch(&self.shared);
            if !pending.is_watched {
                return None;
            }
        }
        pending.entries[place].bytes.extend_from_slice(bytes);
        let serial = self.shared.serial.load(Ordering::Relaxed); // Relaxed: only changed under the lock.
        self.shared.serial.store(serial | 1, Ordering::Release);
        Some(place)
    }

    /// Sends what is held in `place`, in one system call.
    #[must_use]
    pub fn send(&self, place: usize) -> Sent {
        let mut pending = self.shared.lock();
        let Some(entry) = pending.entries.get_mut(place) else {
            return Sent { unsent: Ok(Vec::new()), blocked: false };
        };
        let outcome = entry.send_unsent();
        let blocked = std::mem::take(&mut entry.blocked);
        let unsent = match outcome {
            Ok(()) => Ok(entry.take_unsent()),
            Err(error) => Err(error),
        };
        entry.clear();
        Sent { unsent, blocked }
    }

    /// Takes out what is held in `place` and not yet sent.
    #[must_use]
    pub fn take(&self, place: usize) -> Vec<u8> {
        let mut pending = self.shared.lock();
        let Some(entry) = pending.entries.get_mut(place) else { return Vec::new() };
        let unsent = entry.take_unsent();
        entry.clear();
        unsent
    }

    /// The callback has ended: all places are free.
    pub fn end_callback(&self) {
        let mut pending = self.shared.lock();
        let used = std::mem::take(&mut pending.used);
        pending.entries[..used].iter_mut().for_each(Entry::clear);
        let serial = self.shared.serial.load(Ordering::Relaxed); // Relaxed: only changed under the lock.
        self.shared.serial.store((serial | 1).wrapping_add(1), Ordering::Release);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code panics while it holds the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread ends although bytes may be pending.
    fn end_watch(&self) {
        let mut pending = self.lock();
        if self.serial.load(Ordering::Relaxed) % 2 == 1 {
            pending.send_all(false); // Relaxed: only changed under the lock.
        }
        pending.is_watched = false;
    }

    /// The thread's look. False if the thread is to end.
    fn look(&self, before: u64, idle: &mut u32) -> bool {
        let serial = self.serial.load(Ordering::Acquire);
        if serial != before {
            *idle = 0;
            return true;
        }
        *idle += 1;
        let mut pending = self.lock();
        if self.serial.load(Ordering::Relaxed) != before {
            return true; // Relaxed: only changed under the lock.
        }
        if before % 2 == 1 {
            pending.send_all(true);
            return true;
        }
        pending.is_watched = *idle < IDLE_LOOKS;
        pending.is_watched
    }
}

impl Pending {
    fn place(&mut self, known: Option<usize>, fd: RawFd) -> Option<usize> {
        if known.is_some() {
            return known;
        }
        let place = self.used;
        if place == self.entries.len() {
            self.entries.try_reserve(1).ok()?;
            self.entries.push(Entry::default());
        }
        self.entries[place].fd = fd;
        self.used += 1;
        Some(place)
    }

    /// Sends everything, in place of the loop.
    fn send_all(&mut self, note_wait: bool) {
        let used = self.used;
        let mut blocked = (!note_wait).then_some(false);
        let owner = self.owner.1;
        for entry in self.entries[..used].iter_mut().filter(|entry| entry.sent < entry.bytes.len()) {
            entry.blocked |= *blocked.get_or_insert_with(|| is_waiting(owner));
            // The loop meets the error when it sends the rest.
            let _ = entry.send_unsent();
        }
    }
}

impl Entry {
    /// Sends once. "Would block" is no error: the rest stays.
    fn send_unsent(&mut self) -> io::Result<()> {
        if self.sent == self.bytes.len() {
            return Ok(());
        }
        match socket::send(self.fd, &self.bytes[self.sent..]) {
            Ok(count) => self.sent += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes out what was not sent. Keeps the memory if that is nothing.
    fn take_unsent(&mut self) -> Vec<u8> {
        if self.sent == self.bytes.len() {
            return Vec::new();
        }
        let mut unsent = std::mem::take(&mut self.bytes);
        unsent.drain(..self.sent);
        unsent
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.blocked = false;
    }
}

/// A thread that may run.
struct Watcher {
    thread: JoinHandle<()>,
    must_end: Arc<AtomicBool>,
    generation: u32,
}

static WATCHERS: Mutex<Vec<Watcher>> = Mutex::new(Vec::new());

/// Starts the thread; false if the system refuses one.
#[cold]
fn watch(shared: &Arc<Shared>) -> bool {
    let weak = Arc::downgrade(shared);
    let must_end = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&must_end);
    // In a child forked by foreign code the lock may be that of a thread of the parent's.
    let Ok(mut watchers) = WATCHERS.try_lock() else { return false };
    forget_ended(&mut watchers);
    if watchers.try_reserve(1).is_err() {
        return false;
    }
    let started = without_signals(|| {
        thread::Builder::new().name("ferrio-writes".into()).stack_size(STACK).spawn(move || look_on(&weak, &seen))
    });
    started.is_ok_and(|thread| {
        watchers.push(Watcher { thread, must_end, generation: fork::generation() });
        true
    })
}

/// Drops the handles of threads that have ended, and those of the process that has forked this one.
fn forget_ended(watchers: &mut Vec<Watcher>) {
    for place in (0..watchers.len()).rev() {
        if watchers[place].generation != fork::generation() {
            // The thread does not exist here.
            std::mem::forget(watchers.swap_remove(place));
        } else if watchers[place].thread.is_finished() {
            watchers.swap_remove(place);
        }
    }
}

/// Ends the threads of this process, which send what is pending first. Later writes start others.
pub fn end_threads() {
    let Ok(mut watchers) = WATCHERS.try_lock().map(|mut watchers| std::mem::take(&mut *watchers)) else { return };
    forget_ended(&mut watchers);
    for watcher in &watchers {
        watcher.must_end.store(true, Ordering::Release);
        watcher.thread.thread().unpark();
    }
    // The list is not locked meanwhile: a thread may wait for a loop that is about to add to it.
    for watcher in watchers {
        // No code of the thread panics.
        let _ = watcher.thread.join();
    }
}

fn look_on(shared: &Weak<Shared>, must_end: &AtomicBool) {
    let mut before = 0;
    let mut idle = 0;
    loop {
        // May return early, which is harmless.
        thread::park_timeout(INTERVAL);
        let Some(shared) = shared.upgrade() else { return };
        if must_end.load(Ordering::Acquire) {
            shared.end_watch();
            return;
        }
        if !shared.look(before, &mut idle) {
            return;
        }
        before = shared.serial.load(Ordering::Acquire);
    }
}

/// The system's number of this thread.
#[cfg(target_os = "linux")]
fn thread_number() -> Option<u32> {
    rustix::thread::gettid().as_raw_nonzero().get().try_into().ok()
}

/// Unknown on this system.
#[cfg(not(target_os = "linux"))]
fn thread_number() -> Option<u32> {
    None
}

/// Whether a thread waits for something, rather than running or being ready to run. If unknown, it counts as waiting.
fn is_waiting(thread: Option<u32>) -> bool {
    let Some(thread) = thread else { return true };
    let Ok(status) = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")) else { return true };
    // The state follows the name, which is in parentheses and may contain any character.
    status.rsplit_once(") ").is_none_or(|(_, state)| !state.starts_with('R'))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests wait for the thread")]
mod tests;
