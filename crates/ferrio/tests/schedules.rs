//! Runs under chosen schedules: what varies is what a real run leaves open, the same choices give the same run, and
//! faults that show in some orders only are found.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use ferrio::testing::{Explorer, Fault, Order, Schedule, repeat, run_with_seed};
use ferrio::{Event, Handle, Lock, join_all, sleep, spawn, to_thread, yield_now};

/// The orders in which three calls in threads can end, as a program sees them.
async fn order_of_calls() -> Vec<u32> {
    let order = Rc::new(RefCell::new(Vec::new()));
    join_all([1, 2, 3].map(|number| {
        let order = Rc::clone(&order);
        async move {
            let number = to_thread(move || number).await;
            order.borrow_mut().push(number);
        }
    }))
    .await;
    order.take()
}

#[test]
fn each_order_of_results_is_run_and_no_other() {
    let seen = RefCell::new(BTreeSet::new());
    let explored = Explorer::new()
        .run(|| async {
            let order = order_of_calls().await;
            seen.borrow_mut().insert(order);
        })
        .expect("nothing fails");
    assert!(explored.is_exhausted());
    assert!(explored.distinct() >= 6 && explored.runs() >= explored.distinct());
    assert_eq!(seen.borrow().len(), 6);
}

#[test]
fn the_undisturbed_run_comes_first_and_is_the_one_of_virtual_time() {
    let mut runs = 0;
    let finding = Explorer::new()
        .run(|| {
            runs += 1;
            async { assert_eq!(order_of_calls().await, [3, 2, 1]) }
        })
        .expect_err("the first run has another order");
    assert_eq!((runs, finding.runs()), (1, 1));
    assert_eq!(finding.schedule().to_string(), "loop:5000000:");
}

/// Fails if the last of three calls ends first.
async fn racy() {
    let order = order_of_calls().await;
    assert_ne!(order[0], 3, "the last call was first");
}

#[test]
fn a_schedule_that_fails_fails_again_after_it_was_written_down() {
    let finding = Explorer::new().run(racy).expect_err("it fails in some orders");
    assert!(matches!(finding.fault(), Fault::Panicked(_)));
    let text = finding.schedule().to_string();
    assert!(finding.to_string().contains(&text));
    let schedule: Schedule = text.parse().expect("it was written as a schedule is");
    for _ in 0..3 {
        let again = std::panic::catch_unwind(|| repeat(&schedule, racy()));
        let text = again.expect_err("it fails again").downcast::<String>().expect("a text");
        assert!(text.contains("the last call was first"), "{text}");
    }
}

#[test]
fn a_seed_decides_the_schedule() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let order = run_with_seed(seed, order_of_calls()).expect("it ends");
        assert_eq!(run_with_seed(seed, order_of_calls()).expect("it ends"), order, "seed {seed}");
        seen.insert(order);
    }
    assert!(seen.len() > 1);
}

#[test]
fn two_timers_share_a_turn_if_the_loop_may_be_late() {
    /// Whether the task of the first timer runs before the second timer is due.
    async fn is_apart() -> bool {
        let order = Rc::new(RefCell::new(Vec::new()));
        let note = |name: &'static str| order.borrow_mut().push(name);
        let first = async {
            sleep(Duration::from_millis(1)).await;
            note("first");
            yield_now().await;
            note("later");
        };
        let second = async {
            sleep(Duration::from_millis(3)).await;
            note("second");
        };
        let (mut first, mut second) = (Box::pin(first), Box::pin(second));
        let mut done = [false; 2];
        std::future::poll_fn(|context| {
            done[0] = done[0] || first.as_mut().poll(context).is_ready();
            done[1] = done[1] || second.as_mut().poll(context).is_ready();
            if done == [true; 2] { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        drop((first, second));
        order.take()[1] == "later"
    }

    let seen = RefCell::new(BTreeSet::new());
    let note = || async {
        let is_apart = is_apart().await;
        seen.borrow_mut().insert(is_apart);
    };
    let punctual = Explorer::new().stall(Duration::ZERO);
    assert!(punctual.run(note).expect("it ends").is_exhausted());
    assert_eq!(seen.take(), BTreeSet::from([true]));
    assert!(Explorer::new().run(note).expect("it ends").is_exhausted());
    assert_eq!(seen.take(), BTreeSet::from([false, true]));
}

#[test]
fn equal_deadlines_tie_only_where_that_is_allowed() {
    let orders_of = |order| {
        let seen = RefCell::new(BTreeSet::new());
        let explored = Explorer::new().order(order).stall(Duration::ZERO).run(|| async {
            let order = Rc::new(RefCell::new(Vec::new()));
            join_all([1, 2, 3].map(|number| {
                let order = Rc::clone(&order);
                async move {
                    sleep(Duration::from_secs(1)).await;
                    order.borrow_mut().push(number);
                }
            }))
            .await;
            let order = order.take();
            seen.borrow_mut().insert(order);
        });
        assert!(explored.expect("it ends").is_exhausted());
        seen.take().len()
    };
    assert_eq!((orders_of(Order::Loop), orders_of(Order::Contract)), (1, 6));
}

#[test]
fn any_task_may_be_next_where_that_is_allowed() {
    let orders_of = |order| {
        let seen = RefCell::new(BTreeSet::new());
        let explored = Explorer::new().order(order).run(|| async {
            let order = Rc::new(RefCell::new(Vec::new()));
            join_all([1, 2, 3].map(|number| {
                let order = Rc::clone(&order);
                async move { order.borrow_mut().push(number) }
            }))
            .await;
            let order = order.take();
            seen.borrow_mut().insert(order);
        });
        assert!(explored.expect("it ends").is_exhausted());
        seen.take().len()
    };
    assert_eq!((orders_of(Order::Contract), orders_of(Order::Any)), (1, 6));
}

#[test]
fn a_deadlock_is_found() {
    /// Each of two tasks takes one lock and then the other.
    async fn two_locks() {
        let locks = Rc::new((Lock::new(()), Lock::new(())));
        let both = async |first: &Lock<()>, second: &Lock<()>| {
            to_thread(|| ()).await;
            let _first = first.acquire().await;
            to_thread(|| ()).await;
            let _second = second.acquire().await;
        };
        let copy = Rc::clone(&locks);
        let other = spawn(async move { both(&copy.1, &copy.0).await });
        both(&locks.0, &locks.1).await;
        other.await.expect("it does not panic");
    }

    let finding = Explorer::new().run(two_locks).expect_err("it can stand still");
    assert!(matches!(finding.fault(), Fault::Deadlock), "{finding}");
    assert!(matches!(repeat(finding.schedule(), two_locks()), Err(Fault::Deadlock)));
    let alone = Explorer::new().run(|| async { Event::new().wait().await });
    assert!(matches!(alone.expect_err("nobody sets it").fault(), Fault::Deadlock));
}

#[test]
fn a_livelock_is_found() {
    let finding = Explorer::new().run(|| async {
        loop {
            yield_now().await;
        }
    });
    assert!(matches!(finding.expect_err("it does not end").fault(), Fault::Livelock));
}

#[test]
fn a_call_in_a_thread_may_wait_for_the_runtime_and_for_other_calls() {
    let explored = Explorer::new().run(|| async {
        let handle = Handle::current();
        let (to_call, from_runtime) = std::sync::mpsc::channel();
        let (to_other, from_call) = std::sync::mpsc::channel();
        let asking = spawn(to_thread(move || {
            handle.call_soon_threadsafe(move || to_call.send(1).expect("it is received")).expect("it runs");
            let answer = from_runtime.recv().expect("it is sent");
            to_other.send(answer + 1).expect("it is received");
        }));
        yield_now().await; // so that both calls have begun when one is chosen
        let other = to_thread(move || from_call.recv().expect("it is sent")).await;
        asking.await.expect("it does not panic");
        assert_eq!(other, 2);
    });
    explored.expect("it ends under each schedule");
}

#[test]
fn a_call_in_a_thread_that_waits_for_a_task_lands_after_it() {
    let schedule = "loop:0:1".parse().expect("a schedule");
    let received = repeat(&schedule, async {
        let (sender, receiver) = std::sync::mpsc::channel();
        let _sending = spawn(async move { sender.send(1).expect("it is received") });
        to_thread(move || receiver.recv().expect("it is sent")).await
    });
    assert_eq!(received.expect("it ends"), 1);
}

#[test]
fn a_result_that_nobody_waits_for_any_more_is_dropped() {
    let explored = Explorer::new().run(|| async {
        let dropped = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let task = spawn(to_thread(|| ())).cancel_on_drop();
            yield_now().await;
            drop(task);
        }
        assert_eq!(to_thread(|| 1).await, 1);
        dropped.set(1);
    });
    assert!(explored.expect("it ends").is_exhausted());
}

#[test]
fn what_is_no_schedule_is_refused() {
    for text in ["", "loop", "loop:1", "loop:1:x", "loop:x:", "else:1:", "loop:1:256", "loop:1:1:1", "loop:-1:"] {
        assert!(text.parse::<Schedule>().is_err(), "{text}");
    }
    // One that has choices which the program does not make is cut to size.
    let schedule = "any:5000000:9.9.9.9.9.9.9.9".parse().expect("a schedule");
    let order = repeat(&schedule, order_of_calls()).expect("it ends");
    assert_eq!(order.len(), 3);
}
