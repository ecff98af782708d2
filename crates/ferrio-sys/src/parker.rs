//! The parker: lets one thread sleep until another one wakes it.
//!
//! A wake-up that comes first is kept: the next `park` returns at once. So a thread that announces that it will park
//! cannot miss the wake-up that answers the announcement.

use std::sync::{Condvar, Mutex, PoisonError};

/// The place where one thread sleeps.
#[derive(Debug, Default)]
pub struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    /// Sleeps until `unpark` is called, or was called since the last `park`.
    pub fn park(&self) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.changed.wait_while(woken, |woken| !*woken);
        *wait.unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Wakes the thread.
    pub fn unpark(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        // After the lock is released: the woken thread need not wait for it.
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_wake_up_that_comes_first_is_kept_once() {
        let parker = Parker::default();
        parker.unpark();
        parker.unpark();
        parker.park();
        assert!(!*parker.woken.lock().expect("a lock"));
    }

    #[test]
    fn two_threads_wake_each_other_in_turns() {
        let (here, there, turns) = (Parker::default(), Parker::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100 {
                    there.park();
                    turns.fetch_add(1, Ordering::Relaxed);
                    here.unpark();
                }
            });
            for turn in 1..=100 {
                there.unpark();
                here.park();
                assert_eq!(turns.load(Ordering::Relaxed), turn);
            }
        });
    }
}
