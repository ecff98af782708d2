//! A bell and the state of a loop that waits, in every order in which threads can run them: loom's model of the files
//! that the loop uses.

use std::sync::Arc as Plain;

use bell::{Bell, Wake};
use loom::sync::atomic::AtomicUsize;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use sleep_state::SleepState;
use sync::{Arc, Ordering};

mod sync {
    //! What the files take from loom instead of the standard library.
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};
}

#[path = "../src/bell.rs"]
#[expect(unreachable_pub, reason = "public in the library")]
mod bell;
#[path = "../src/sleep_state.rs"]
#[expect(dead_code, unreachable_pub, reason = "public in the library, and threads with the GIL use more of it")]
mod sleep_state;

/// The waker's pipe: how many bytes are in it.
#[derive(Clone)]
struct Pipe(Plain<(Mutex<usize>, Condvar)>);

impl Pipe {
    fn new() -> Self {
        Self(Plain::new((Mutex::new(0), Condvar::new())))
    }

    /// The system call. With a lost wake-up it waits for ever, which loom reports.
    fn wait(&self) {
        let mut bytes = self.0.0.lock().expect("no thread panics");
        while *bytes == 0 {
            bytes = self.0.1.wait(bytes).expect("no thread panics");
        }
        *bytes = 0;
    }
}

impl Wake for Pipe {
    fn end_wait(&self) {
        *self.0.0.lock().expect("no thread panics") += 1;
        self.0.1.notify_one();
    }
}

/// `threads` leave a message each and ring; the loop fetches all. `spins`: it looks once more before it sleeps.
fn no_ring_is_lost(threads: usize, spins: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let (sleep_state, pipe) = (Arc::new(SleepState::default()), Pipe::new());
        let bell = Arc::new(Bell::new(Arc::clone(&sleep_state), pipe.clone()));
        let messages = Arc::new(AtomicUsize::new(0));
        for _ in 0..threads {
            let (bell, messages) = (Arc::clone(&bell), Arc::clone(&messages));
            thread::spawn(move || {
                messages.fetch_add(1, Ordering::Relaxed);
                bell.ring();
            });
        }
        let mut fetched = 0;
        while fetched < threads {
            sleep_state.spin();
            if !bell.is_rung() && (!spins || sleep_state.is_waiting()) && sleep_state.fall_asleep() {
                pipe.wait();
            }
            let _ = sleep_state.end_wait();
            if bell.take() {
                fetched += messages.swap(0, Ordering::Relaxed);
            }
        }
    });
}

#[test]
fn a_ring_ends_a_wait() {
    no_ring_is_lost(1, false);
}

#[test]
fn rings_of_two_threads_end_a_wait_that_spins() {
    no_ring_is_lost(2, true);
}
