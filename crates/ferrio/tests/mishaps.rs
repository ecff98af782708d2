//! Foreign code that panics inside the runtime: wakers and destructors. What others wait for comes nevertheless.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ferrio::net::UdpSocket;
use ferrio::{Event, Lock, Runtime, run, sleep, spawn, to_thread, yield_now};

/// Panics when it wakes someone.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

/// Polls `future` once, and leaves it such a waker.
fn poll_broken<F: Future>(future: Pin<&mut F>) {
    let waker = Waker::from(Arc::new(Broken));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in a destructor");
    }
}

#[test]
fn a_waker_that_panics_keeps_no_task_from_its_end() {
    let runtime = Runtime::new();
    runtime
        .run_until(async {
            let mut task = spawn(yield_now());
            poll_broken(Pin::new(&mut task));
            let other = spawn(async { 1 });
            assert_eq!(other.await.expect("it has a result"), 1);
            task.await.expect("it has a result");
        })
        .expect("it runs");
    assert!(runtime.all_tasks().is_empty());
}

#[test]
fn a_waker_that_panics_keeps_no_other_from_what_it_waits_for() {
    run(async {
        let event = Rc::new(Event::new());
        let mut broken = pin!(event.wait());
        poll_broken(broken.as_mut());
        let waiting = Rc::clone(&event);
        let other = spawn(async move { waiting.wait().await });
        yield_now().await;
        event.set();
        other.await.expect("it has a result");
        broken.await;
    })
    .expect("it runs");
}

#[test]
fn a_lock_whose_next_waiter_has_such_a_waker_is_released() {
    run(async {
        let lock = Lock::new(());
        let guard = lock.acquire().await;
        let mut next = Box::pin(lock.acquire());
        poll_broken(next.as_mut());
        drop(guard);
        drop(next);
        drop(lock.acquire().await);
    })
    .expect("it runs");
}

#[test]
fn timers_go_on_after_a_waker_that_panics() {
    run(async {
        let mut broken = pin!(sleep(Duration::ZERO));
        poll_broken(broken.as_mut());
        sleep(Duration::from_millis(1)).await;
        broken.await;
    })
    .expect("it runs");
}

#[test]
fn events_go_on_after_a_waker_that_panics() {
    run(async {
        let socket = UdpSocket::bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let address = socket.local_addr().expect("it has an address");
        let (mut first, mut second) = ([0; 8], [0; 8]);
        let mut broken = Box::pin(socket.recv(&mut first));
        poll_broken(broken.as_mut());
        let mut receiving = pin!(socket.recv(&mut second));
        poll_fn(|context| {
            assert!(receiving.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(broken);
        socket.send_to(b"hello", address).await.expect("it is sent");
        assert_eq!(receiving.await.expect("it is received"), 5);
    })
    .expect("it runs");
}

#[test]
fn a_thread_whose_awaiter_has_such_a_waker_does_the_next_job() {
    run(async {
        let mut broken = Box::pin(to_thread(|| 1));
        poll_broken(broken.as_mut());
        for number in 0..100 {
            assert_eq!(to_thread(move || number).await, number);
        }
        assert_eq!(broken.await, 1);
    })
    .expect("it runs");
}

#[test]
fn a_destructor_may_spawn_and_panic_while_its_task_is_cancelled() {
    struct Spawning(Rc<Event>);
    impl Drop for Spawning {
        fn drop(&mut self) {
            let event = Rc::clone(&self.0);
            drop(spawn(async move { event.set() }));
        }
    }
    run(async {
        let event = Rc::new(Event::new());
        let owned = (Spawning(Rc::clone(&event)), Fragile);
        let task = spawn(async move {
            let _owned = owned;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.expect_err("its destructor panicked").is_panic());
        event.wait().await;
    })
    .expect("it runs");
}
