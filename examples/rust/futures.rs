//! Futures: from callbacks, and from other threads, to `await`.
#![expect(clippy::print_stdout, reason = "an example")]

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use ferrio::{Queue, run, spawn};

/// A result that a callback sets and a task awaits.
#[derive(Default)]
struct Promise {
    result: RefCell<Option<String>>,
    waker: RefCell<Option<Waker>>,
}

impl Promise {
    fn set_result(&self, result: &str) {
        *self.result.borrow_mut() = Some(result.to_owned());
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn wait(&self) -> String {
        poll_fn(|context| {
            let result = self.result.borrow_mut().take();
            if result.is_none() {
                *self.waker.borrow_mut() = Some(context.waker().clone());
            }
            result.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let promise = Rc::new(Promise::default());
        let awaited = Rc::clone(&promise);
        let task = spawn(async move { awaited.wait().await });
        promise.set_result("done");
        println!("{}", task.await?);

        // A waker may go to any thread: the runtime sleeps until it is used.
        let shared: Arc<Mutex<(Option<u32>, Option<Waker>)>> = Arc::default();
        let from_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut shared = from_thread.lock().expect("nobody panics");
            shared.0 = Some(42);
            shared.1.take().map(Waker::wake)
        });
        let answer = poll_fn(|context| {
            let mut shared = shared.lock().expect("nobody panics");
            shared.1 = Some(context.waker().clone());
            shared.0.take().map_or(Poll::Pending, Poll::Ready)
        });
        println!("{} from a thread", answer.await);
        thread.join().expect("it does not panic");

        // What is not `Send` stays on its thread: another thread asks for a call there.
        thread_local! {
            static RESULTS: Rc<Queue<u32>> = Rc::new(Queue::unbounded());
        }
        let handle = ferrio::Handle::current();
        let call = || RESULTS.with(|results| results.try_put(43).expect("there is no limit"));
        thread::spawn(move || handle.call_soon_threadsafe(call));
        println!("{} by a call", RESULTS.with(Rc::clone).get().await?);
        Ok(())
    })?
}
