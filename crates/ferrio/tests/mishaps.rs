//! Foreign code that panics inside the runtime: wakers and destructors. What others wait for comes nevertheless.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ferrio::net::UdpSocket;
use ferrio::testing::Explorer;
use ferrio::time::{now, timeout_scope};
use ferrio::{Event, Lock, Runtime, run, sleep, spawn, timeout, to_thread, yield_now};

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
fn threads_whose_awaiters_have_such_wakers_do_the_next_jobs() {
    run(async {
        // More than there are threads: if each such job ended one, none would be left.
        let mut broken: Vec<_> = (0..40).map(|number| Box::pin(to_thread(move || number))).collect();
        for future in &mut broken {
            poll_broken(future.as_mut());
        }
        let next = timeout(Duration::from_secs(60), to_thread(|| 1));
        assert_eq!(next.await, Ok(1));
        for (number, future) in broken.into_iter().enumerate() {
            assert_eq!(future.await, number);
        }
    })
    .expect("it runs");
}

#[test]
fn results_land_in_an_exploration_whatever_such_wakers_do() {
    let explored = Explorer::new().run(|| async {
        let mut broken = Box::pin(to_thread(|| 1));
        poll_broken(broken.as_mut());
        assert_eq!(to_thread(|| 2).await, 2);
        assert_eq!(broken.await, 1);
    });
    assert!(explored.expect("nothing fails").is_exhausted());
}

#[test]
fn tasks_whose_gather_has_such_a_waker_have_their_results() {
    run(async {
        let mut gather = Box::pin(ferrio::gather([1, 2].map(async |number| Ok::<_, ()>(number))));
        poll_broken(gather.as_mut());
        yield_now().await;
        assert_eq!(gather.await.expect("nothing fails"), [1, 2]);
    })
    .expect("it runs");
}

#[test]
fn tasks_whose_group_has_such_a_waker_have_their_results() {
    run(async {
        let mut group = Box::pin(ferrio::task_group(async |group| {
            let task = group.spawn(async { Ok::<_, ()>(1) });
            Ok(task.await.expect("it has a result"))
        }));
        poll_broken(group.as_mut());
        yield_now().await;
        assert_eq!(group.await.expect("nothing fails"), 1);
    })
    .expect("it runs");
}

#[test]
fn who_moves_a_deadline_is_not_harmed_by_such_a_waker() {
    run(async {
        let scope = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&scope);
        let mut waiting = Box::pin(timeout_scope(Some(Duration::from_secs(3600)), async move |scope| {
            kept.replace(Some(scope));
            std::future::pending::<()>().await;
        }));
        poll_broken(waiting.as_mut());
        scope.take().expect("the body has begun").reschedule(Some(now()));
        assert!(waiting.await.is_err());
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
