//! Tasks: order, cancelling, panics, depth, and the end of a runtime.

mod noted;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ferrio::{RunError, Runtime, Task, TaskError, current_task, run, spawn, yield_now};
use noted::Noted;

#[test]
fn tasks_take_turns_in_the_order_they_were_spawned() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let worker = |name: &'static str| {
            let order = Rc::clone(&order);
            async move {
                for turn in 0..2 {
                    order.borrow_mut().push((name, turn));
                    yield_now().await;
                }
            }
        };
        ferrio::join_all([worker("a"), worker("b"), worker("c")]).await;
    })
    .expect("it runs");
    assert_eq!(*order.borrow(), [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1)]);
}

#[test]
fn a_cancelled_task_drops_its_future_before_its_awaiter_goes_on() {
    run(async {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let noted = Noted("future", Rc::clone(&dropped));
        let task = spawn(async move {
            let _noted = noted;
            pending::<()>().await;
        });
        yield_now().await;
        assert!(task.cancel_with("enough"));
        assert!(dropped.borrow().is_empty(), "it is dropped by its own step");
        let TaskError::Cancelled(cancelled) = task.await.expect_err("it was cancelled") else { panic!("no panic") };
        assert_eq!(cancelled.message(), Some("enough"));
        assert_eq!(*dropped.borrow(), ["future"]);
    })
    .expect("it runs");
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs() {
    run(async {
        let has_run = Rc::new(Cell::new(false));
        let flag = Rc::clone(&has_run);
        let task = spawn(async move { flag.set(true) });
        task.cancel();
        assert!(task.await.expect_err("it was cancelled").is_cancelled());
        assert!(!has_run.get());
    })
    .expect("it runs");
}

#[test]
fn cancelling_a_task_that_is_done_changes_nothing() {
    run(async {
        let task = spawn(async { 42 });
        yield_now().await;
        assert!(task.is_done() && !task.cancel());
        assert_eq!(task.await.expect("it has a result"), 42);
    })
    .expect("it runs");
}

#[test]
fn a_task_may_cancel_itself_and_ends_at_its_next_wait() {
    run(async {
        let reached = Rc::new(RefCell::new(Vec::new()));
        let steps = Rc::clone(&reached);
        let (sender, receiver) = (Rc::new(RefCell::new(None)), ());
        let slot: Rc<RefCell<Option<ferrio::Canceller>>> = Rc::clone(&sender);
        let task = spawn(async move {
            slot.borrow().as_ref().expect("it is set").cancel();
            steps.borrow_mut().push("before the wait");
            yield_now().await;
            steps.borrow_mut().push("after the wait");
        });
        *sender.borrow_mut() = Some(task.canceller());
        assert!(task.await.is_err());
        assert_eq!((reached.borrow().as_slice(), receiver), (&["before the wait"][..], ()));
    })
    .expect("it runs");
}

#[test]
fn a_panic_is_the_error_of_the_handle_and_the_runtime_goes_on() {
    run(async {
        let task: Task<()> = spawn(async { panic!("{}", "broken") });
        let error = task.await.expect_err("it panicked");
        assert_eq!(error.to_string(), "the task panicked: broken");
        let payload = error.into_panic().expect("it is a panic").into_payload();
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("broken"));
        assert_eq!(spawn(async { 1 }).await.expect("it has a result"), 1);
    })
    .expect("it runs");
}

#[test]
fn a_panic_of_the_run_s_own_future_leaves_a_runtime_that_runs() {
    let runtime = Runtime::new();
    let task = runtime.spawn(async { 42 });
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.run_until(async { panic!("broken") })));
    assert!(outcome.is_err());
    assert_eq!(current_task(), None);
    assert_eq!(runtime.run_until(task).expect("it runs").expect("it has a result"), 42);
}

#[test]
fn a_run_inside_a_run_is_an_error_and_polls_nothing() {
    let outcome = run(async {
        let inner = Runtime::new();
        let task = inner.spawn(async {});
        assert!(matches!(inner.turn(None), Err(RunError::Nested)));
        assert!(!task.is_done());
        run(async { unreachable!("it is not polled") })
    });
    let error = outcome.expect("the outer one runs").expect_err("the inner one does not");
    assert_eq!(error.to_string(), "a runtime already runs on this thread; await the future instead");
}

#[test]
fn a_runtime_that_is_dropped_drops_its_tasks_in_the_order_they_were_spawned() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let runtime = Runtime::new();
    let first = runtime.spawn(async {});
    runtime.run_until(first).expect("it runs").expect("it has a result");
    let tasks: Vec<_> = (0..5)
        .map(|number| {
            let noted = Noted(number, Rc::clone(&order));
            runtime.spawn(async move {
                let _noted = noted;
                pending::<()>().await;
            })
        })
        .collect();
    drop(runtime);
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    for task in tasks {
        let error = run(task).expect("it runs").expect_err("it was dropped");
        assert_eq!(error.to_string(), "the task was cancelled: the runtime was dropped");
    }
}

#[test]
fn a_destructor_may_spawn_while_the_runtime_is_dropped() {
    struct Spawns(Rc<RefCell<Option<Task<()>>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            *self.0.borrow_mut() = Some(spawn(async { unreachable!("it never begins") }));
        }
    }
    let slot = Rc::new(RefCell::new(None));
    let runtime = Runtime::new();
    let spawns = Spawns(Rc::clone(&slot));
    drop(runtime.spawn(async move {
        let _spawns = spawns;
        pending::<()>().await;
    }));
    drop(runtime);
    assert!(slot.borrow().as_ref().is_some_and(Task::is_done));
}

#[test]
fn a_detached_task_goes_on_and_an_owned_one_ends_with_its_handle() {
    run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let worker = |name| {
            let noted = Noted(name, Rc::clone(&order));
            async move {
                let _noted = noted;
                for _ in 0..3 {
                    yield_now().await;
                }
            }
        };
        drop(spawn(worker("detached")));
        drop(spawn(worker("owned")).cancel_on_drop());
        yield_now().await;
        assert_eq!(*order.borrow(), ["owned"]);
        for _ in 0..4 {
            yield_now().await;
        }
        assert_eq!(*order.borrow(), ["owned", "detached"]);
    })
    .expect("it runs");
}

const DEEP: usize = 1_000_000;

#[test]
fn a_million_tasks_that_await_one_another_need_no_stack() {
    let depth = run(async {
        let mut task = spawn(async { 0 });
        for _ in 0..DEEP {
            let inner = task;
            task = spawn(async move { inner.await.expect("it has a result") + 1 });
        }
        task.await.expect("it has a result")
    });
    assert_eq!(depth.expect("it runs"), DEEP);
}

#[test]
fn a_million_tasks_that_own_one_another_are_dropped_without_the_stack() {
    let runtime = Runtime::new();
    let mut task = runtime.spawn(pending::<()>()).cancel_on_drop();
    for _ in 0..DEEP {
        let inner = task;
        task = runtime
            .spawn(async move {
                let _ = inner.await;
            })
            .cancel_on_drop();
    }
    let last = task;
    let outcome = runtime.run_until(async move {
        yield_now().await;
        last.cancel();
        last.await
    });
    assert!(outcome.expect("it runs").expect_err("it was cancelled").is_cancelled());
    drop(runtime);
}

#[test]
fn a_million_results_inside_one_another_are_dropped_without_the_stack() {
    enum Chain {
        End,
        Link {
            #[expect(dead_code, reason = "it is only dropped")]
            next: Task<Chain>,
        },
    }
    run(async {
        let mut task = spawn(async { Chain::End });
        for _ in 0..DEEP {
            let next = task;
            task = spawn(async move { Chain::Link { next } });
        }
        while !task.is_done() {
            yield_now().await;
        }
        drop(task);
    })
    .expect("it runs");
}

#[test]
fn wakers_work_from_other_threads_while_the_runtime_sleeps() {
    run(async {
        for round in 0..100 {
            let (sender, receiver) = std::sync::mpsc::channel::<std::task::Waker>();
            let is_set = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let flag = std::sync::Arc::clone(&is_set);
            let thread = std::thread::spawn(move || {
                let waker = receiver.recv().expect("it is sent");
                flag.store(true, std::sync::atomic::Ordering::Relaxed);
                waker.wake();
            });
            let mut sender = Some(sender);
            poll_fn(|context| {
                if is_set.load(std::sync::atomic::Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                if let Some(sender) = sender.take() {
                    sender.send(context.waker().clone()).expect("it is received");
                }
                Poll::Pending
            })
            .await;
            thread.join().unwrap_or_else(|_| panic!("round {round}"));
        }
    })
    .expect("it runs");
}

#[test]
fn a_waker_outlives_its_task_and_its_runtime() {
    let waker = run(async {
        let slot = Rc::new(RefCell::new(None));
        let target = Rc::clone(&slot);
        let task = spawn(poll_fn(move |context| {
            *target.borrow_mut() = Some(context.waker().clone());
            Poll::Ready(())
        }));
        task.await.expect("it has a result");
        let waker = slot.take().expect("it is set");
        waker.wake_by_ref();
        // The slot is used again, by a task that the old waker must not disturb.
        let polls = Rc::new(Cell::new(0));
        let count = Rc::clone(&polls);
        let next = spawn(poll_fn(move |_| {
            count.set(count.get() + 1);
            Poll::<()>::Pending
        }));
        yield_now().await;
        waker.wake_by_ref();
        yield_now().await;
        assert_eq!(polls.get(), 1);
        next.cancel();
        waker
    })
    .expect("it runs");
    std::thread::spawn(move || waker.wake()).join().expect("it does not panic");
}

#[test]
fn virtual_time_jumps_in_the_order_of_deadlines_and_waits_for_threads() {
    let order = ferrio::testing::run_in_virtual_time(async {
        let begin = ferrio::time::now();
        let mut outcomes = ferrio::as_completed([30_u64, 10, 20].map(|seconds| async move {
            ferrio::sleep(Duration::from_secs(seconds)).await;
            seconds
        }));
        let mut order = Vec::new();
        while let Some(outcome) = outcomes.next().await {
            order.push((outcome.expect("it has a result"), (ferrio::time::now() - begin).as_secs()));
        }
        let answer = ferrio::timeout(Duration::from_secs(1), ferrio::to_thread(|| 42)).await;
        assert_eq!(answer, Ok(42), "no virtual time passes while a thread works");
        order
    });
    assert_eq!(order.expect("it runs"), [(10, 10), (20, 20), (30, 30)]);
}

/// Panics when it is dropped.
struct Unlucky;

impl Drop for Unlucky {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in a destructor");
    }
}

#[test]
fn a_result_that_nobody_takes_may_panic_when_it_is_dropped() {
    run(async {
        drop(spawn(async { Unlucky }));
        let other = spawn(async { 1 });
        assert_eq!(other.await.expect("it has a result"), 1);
        yield_now().await;
    })
    .expect("it runs");
}
