//! Tasks together: gather, wait and task groups.

mod noted;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use ferrio::{Failure, ReturnWhen, run, spawn, yield_now};
use noted::Noted;

#[test]
fn the_first_failure_of_a_gather_leaves_the_other_tasks_running() {
    run(async {
        let has_ended = Rc::new(Cell::new(false));
        let flag = Rc::clone(&has_ended);
        let futures = [0, 1].map(|number| {
            let flag = Rc::clone(&flag);
            async move {
                if number == 1 {
                    return Err("failed");
                }
                for _ in 0..5 {
                    yield_now().await;
                }
                flag.set(true);
                Ok(())
            }
        });
        let failure = ferrio::gather(futures).await.expect_err("one fails");
        assert!(matches!(failure, Failure::Error("failed")));
        assert!(!has_ended.get());
        for _ in 0..6 {
            yield_now().await;
        }
        assert!(has_ended.get());
    })
    .expect("it runs");
}

#[test]
fn a_gather_that_is_dropped_cancels_its_tasks() {
    run(async {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let worker = |number| {
            let noted = Noted(number, Rc::clone(&dropped));
            async move {
                let _noted = noted;
                pending::<Result<(), ()>>().await
            }
        };
        let gather = ferrio::gather((0..3).map(worker));
        yield_now().await;
        drop(gather);
        yield_now().await;
        assert_eq!(*dropped.borrow(), [0, 1, 2]);
    })
    .expect("it runs");
}

#[test]
fn wait_returns_what_is_done_and_keeps_the_others() {
    run(async {
        let never = spawn(pending::<u32>());
        let mut tasks = vec![spawn(async { 1 }), never, spawn(async { 3 })];
        let done = ferrio::wait(&mut tasks, ReturnWhen::FirstCompleted).await;
        assert_eq!((done.len(), tasks.len()), (2, 1));
        tasks.push(spawn(async { panic!("broken") }));
        let done = ferrio::wait(&mut tasks, ReturnWhen::FirstPanic).await;
        assert_eq!((done.len(), tasks.len()), (1, 1));
        tasks[0].cancel();
        assert_eq!(ferrio::wait(&mut tasks, ReturnWhen::AllCompleted).await.len(), 1);
        assert!(ferrio::wait(&mut tasks, ReturnWhen::FirstCompleted).await.is_empty());
    })
    .expect("it runs");
}

#[test]
fn a_task_group_collects_failures_and_cancels_the_others() {
    run(async {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let body_noted = Noted("body", Rc::clone(&dropped));
        let task_noted = Noted("task", Rc::clone(&dropped));
        let outcome = ferrio::task_group(async |group| {
            let _body = body_noted;
            drop(group.spawn(async move {
                let _task = task_noted;
                pending::<Result<(), &str>>().await
            }));
            drop(group.spawn(async { if true { panic!("first") } else { Ok(()) } }));
            // The task fails in the same turn before the body does.
            yield_now().await;
            Err::<(), _>("second")
        });
        let failures = outcome.await.expect_err("two fail").into_failures();
        let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["the task panicked: first", "second"]);
        dropped.borrow_mut().sort_unstable();
        assert_eq!(*dropped.borrow(), ["body", "task"]);
    })
    .expect("it runs");
}

#[test]
fn tasks_of_a_group_that_fail_in_the_same_turn_all_do_so() {
    run(async {
        for turns in 0..3 {
            let outcome = ferrio::task_group(async move |group: ferrio::TaskGroup<i32>| {
                for number in 0..3 {
                    drop(group.spawn(async move {
                        for _ in 0..turns {
                            yield_now().await;
                        }
                        Err::<(), _>(number)
                    }));
                }
                let later = async move {
                    for _ in 0..turns + 3 {
                        yield_now().await;
                    }
                    Err::<(), _>(3)
                };
                drop(group.spawn(later));
                pending::<Result<(), i32>>().await
            });
            let failures = outcome.await.expect_err("three fail").into_failures();
            let numbers: Vec<_> = failures.iter().map(ToString::to_string).collect();
            assert_eq!(numbers, ["0", "1", "2"]);
        }
    })
    .expect("it runs");
}

#[test]
fn a_task_group_whose_future_is_dropped_cancels_its_tasks() {
    run(async {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let noted = Noted("task", Rc::clone(&dropped));
        let group = ferrio::task_group(async |group| {
            drop(group.spawn(async move {
                let _task = noted;
                pending::<Result<(), ()>>().await
            }));
            pending::<Result<(), ()>>().await
        });
        assert!(ferrio::timeout(Duration::ZERO, group).await.is_err());
        yield_now().await;
        assert_eq!(*dropped.borrow(), ["task"]);
    })
    .expect("it runs");
}

#[test]
fn a_task_group_waits_for_tasks_that_its_tasks_spawn() {
    run(async {
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        ferrio::task_group(async |group| {
            let inner = group.clone();
            drop(group.spawn(async move {
                for _ in 0..3 {
                    let counter = Rc::clone(&counter);
                    drop(inner.spawn(async move {
                        yield_now().await;
                        counter.set(counter.get() + 1);
                        Ok::<(), ()>(())
                    }));
                }
                Ok(())
            }));
            Ok::<(), ()>(())
        })
        .await
        .expect("nothing fails");
        assert_eq!(count.get(), 3);
    })
    .expect("it runs");
}
