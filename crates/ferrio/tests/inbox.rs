//! The inbox and the flag of a task's waker, in every order in which threads can run them: loom's model of the file
//! that the runtime uses.

use std::sync::PoisonError;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use inbox::{Inbox, Pushed, ScheduledFlag};

mod sync {
    //! What the inbox takes from loom instead of the standard library.
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/runtime/inbox.rs"]
#[expect(dead_code, reason = "closing is tested by the runtime's own tests")]
mod inbox;

/// The pipe that ends a wait: how often it was written to and not read.
#[derive(Default)]
struct Pipe {
    bytes: Mutex<usize>,
    written: Condvar,
}

impl Pipe {
    fn write(&self) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.written.notify_one();
    }

    fn wait(&self) -> usize {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *bytes == 0 {
            bytes = self.written.wait(bytes).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut *bytes)
    }
}

fn push(inbox: &Inbox<u32>, pipe: &Pipe, item: u32) {
    match inbox.push(item) {
        Pushed::Awake => {}
        Pushed::Asleep => pipe.write(),
        Pushed::Closed(_) => unreachable!("nobody closes it"),
    }
}

#[test]
fn a_runtime_that_sleeps_is_woken_for_each_item_and_by_one_thread() {
    let mut model = loom::model::Builder::new();
    // Without a bound it takes minutes.
    model.preemption_bound = Some(2);
    model.check(|| {
        let shared = Arc::new((Inbox::new(), Pipe::default()));
        let threads = [1, 2].map(|item| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || push(&shared.0, &shared.1, item))
        });
        let (inbox, pipe) = &*shared;
        let mut taken = Vec::new();
        while taken.len() < 2 {
            inbox.take(&mut taken);
            if taken.len() < 2 && inbox.fall_asleep() {
                // With a lost wake-up this waits for ever, which loom reports.
                assert_eq!(pipe.wait(), 1);
                inbox.wake_up();
            }
        }
        for thread in threads {
            thread.join().expect("it does not panic");
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn an_item_pushed_while_the_runtime_is_awake_is_found_before_it_sleeps() {
    loom::model(|| {
        let shared = Arc::new(Inbox::new());
        let pushing = Arc::clone(&shared);
        let thread = thread::spawn(move || pushing.push(1));
        let mut taken = Vec::new();
        shared.take(&mut taken);
        let falls_asleep = shared.fall_asleep();
        let pushed = thread.join().expect("it does not panic");
        // Either the runtime saw the item, or the thread saw the sleep.
        let is_seen = !taken.is_empty() || !falls_asleep;
        assert_eq!(pushed, if is_seen { Pushed::Awake } else { Pushed::Asleep });
        shared.take(&mut taken);
        assert_eq!(taken, [1]);
    });
}

#[test]
fn after_a_wake_up_a_step_sees_what_was_written_before_it() {
    loom::model(|| {
        let shared = Arc::new((ScheduledFlag::scheduled(), loom::sync::atomic::AtomicU32::new(0)));
        let waking = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let (flag, value) = &*waking;
            value.store(1, loom::sync::atomic::Ordering::Relaxed);
            flag.schedule()
        });
        let (flag, value) = &*shared;
        flag.begin_step();
        let seen = value.load(loom::sync::atomic::Ordering::Relaxed);
        let queues = thread.join().expect("it does not panic");
        assert!(queues || seen == 1, "the wake-up is neither answered by this step nor queued");
    });
}
