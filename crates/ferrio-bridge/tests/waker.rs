//! The state of a waker and the list of messages, in every order in which threads can run them: loom's model of the files
//! that the bridge uses.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use messages::{Messages, Signal};
use wake_state::WakeState;

mod sync {
    //! What the files take from loom instead of the standard library.
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/messages.rs"]
#[expect(dead_code, reason = "forks and the loop's end are tested with Python")]
mod messages;
#[path = "../src/wake_state.rs"]
#[expect(dead_code, reason = "the collector is tested with Python")]
mod wake_state;

/// The sockets: how many bytes are between them.
#[derive(Clone)]
struct Sockets(Arc<(Mutex<usize>, Condvar)>);

impl Sockets {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(0), Condvar::new())))
    }

    /// What the loop does when it has nothing to run.
    fn wait(&self) {
        let mut bytes = self.0.0.lock().expect("no thread panics");
        while *bytes == 0 {
            bytes = self.0.1.wait(bytes).expect("no thread panics");
        }
    }
}

impl Signal for Sockets {
    fn give(&self) {
        *self.0.0.lock().expect("no thread panics") += 1;
        self.0.1.notify_one();
    }

    fn clear(&self) {
        *self.0.0.lock().expect("no thread panics") = 0;
    }
}

struct Shared {
    messages: Messages<(), Sockets>,
    state: WakeState<u32>,
    /// What the future waits for: how many threads have done their part.
    done: Mutex<usize>,
}

impl Shared {
    fn wake(&self) {
        if self.state.note_elsewhere() {
            assert!(self.messages.push(()).is_ok(), "the list is open");
        }
    }
}

/// Runs the loop's thread until the future has seen `parts`, each done by a thread that wakes it `wakes` times.
fn run(parts: usize, wakes: usize) {
    let sockets = Sockets::new();
    let (messages, state) = (Messages::new(sockets.clone()), WakeState::new());
    let shared = Arc::new(Shared { messages, state, done: Mutex::new(0) });
    let mut threads = Vec::new();
    for _ in 0..parts {
        let shared = Arc::clone(&shared);
        threads.push(thread::spawn(move || {
            *shared.done.lock().expect("no thread panics") += 1;
            for _ in 0..wakes {
                shared.wake();
            }
        }));
    }
    let mut number = 0;
    loop {
        assert_eq!(shared.state.reset(), None, "a task that is resumed waits for nothing");
        if *shared.done.lock().expect("no thread panics") == parts {
            break;
        }
        number += 1;
        if shared.state.wait_for(number).is_err() {
            continue;
        }
        let mut completed = None;
        while completed.is_none() {
            sockets.wait();
            for () in shared.messages.take() {
                completed = completed.or(shared.state.wake());
            }
        }
        assert_eq!(completed, Some(number));
    }
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

#[test]
fn a_thread_s_wake_up_is_never_lost() {
    loom::model(|| run(1, 1));
}

#[test]
fn a_thread_may_wake_twice() {
    loom::model(|| run(1, 2));
}

#[test]
fn wake_ups_of_two_threads_are_never_lost() {
    let mut model = loom::model::Builder::new();
    // Without a bound it takes minutes.
    model.preemption_bound = Some(2);
    model.check(|| run(2, 1));
}

#[test]
fn each_message_is_taken_although_the_loop_waits_for_a_signal_first() {
    loom::model(|| {
        let sockets = Sockets::new();
        let messages = Arc::new(Messages::new(sockets.clone()));
        let threads = [1, 2].map(|message| {
            let messages = Arc::clone(&messages);
            thread::spawn(move || assert_eq!(messages.push(message), Ok(()), "the list is open"))
        });
        let mut taken = Vec::new();
        while taken.len() < 2 {
            sockets.wait();
            taken.append(&mut messages.take());
        }
        assert_eq!(taken.iter().sum::<i32>(), 3);
        for thread in threads {
            thread.join().expect("it does not panic");
        }
    });
}
