//! Queues: random programs of tasks against a model, and each kind's claims.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;

use ferrio::{
    Fifo, Heap, LifoQueue, OrderedQueue, PriorityQueue, Queue, QueueShutDown, Stack, Storage, Task, TryGetError,
    TryPutError, run, spawn, yield_now,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    /// A task puts the next number.
    Put,
    /// A task gets one.
    Get,
    /// A task that waits is cancelled, chosen by the number.
    Cancel(usize),
    /// All that is ready runs.
    Run,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        4 => Just(Operation::Put),
        4 => Just(Operation::Get),
        2 => any::<usize>().prop_map(Operation::Cancel),
        3 => Just(Operation::Run),
    ];
    prop::collection::vec(operation, 1..100)
}

/// What happened, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Put(u32),
    Got(u32),
}

/// Runs the operations as tasks; returns what happened and how many tasks still wait to put and to get.
async fn play<S: Storage<u32> + 'static>(
    queue: Rc<OrderedQueue<u32, S>>,
    operations: Vec<Operation>,
) -> (Vec<Happened>, usize, usize) {
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut tasks: Vec<(bool, Task<()>)> = Vec::new();
    let mut next = 0;
    for operation in operations {
        let (queue, log) = (Rc::clone(&queue), Rc::clone(&log));
        match operation {
            Operation::Put => {
                let number = next;
                next += 1;
                let task = spawn(async move {
                    queue.put(number).await.expect("it is open");
                    log.borrow_mut().push(Happened::Put(number));
                });
                tasks.push((true, task));
            }
            Operation::Get => {
                let task = spawn(async move {
                    let number = queue.get().await.expect("it is open");
                    log.borrow_mut().push(Happened::Got(number));
                });
                tasks.push((false, task));
            }
            Operation::Cancel(number) if !tasks.is_empty() => {
                tasks[number % tasks.len()].1.cancel();
            }
            Operation::Run => yield_now().await,
            Operation::Cancel(_) => {}
        }
    }
    // Longer than any chain of wake-ups.
    for _ in 0..500 {
        yield_now().await;
    }
    let waits = |puts: bool| tasks.iter().filter(|(is_put, task)| *is_put == puts && !task.is_done()).count();
    let (puts, gets) = (waits(true), waits(false));
    let happened = log.borrow().clone();
    (happened, puts, gets)
}

/// Compares with the same events on a plain queue of the same order.
fn check<S: Storage<u32> + Default + 'static>(limit: usize, operations: Vec<Operation>) {
    let queue = Rc::new(OrderedQueue::<u32, S>::bounded(limit));
    let (happened, puts, gets) = run(play(Rc::clone(&queue), operations)).expect("it runs");
    let mut model = S::default();
    for event in happened {
        match event {
            Happened::Put(number) => {
                assert!(model.len() < limit, "the queue was full");
                model.put(number);
            }
            Happened::Got(number) => assert_eq!(model.take(), Some(number)),
        }
    }
    assert_eq!(model.len(), queue.len(), "items are neither lost nor doubled");
    assert!(gets == 0 || queue.is_empty(), "a getter waits although there are items");
    assert!(puts == 0 || queue.is_full(), "a putter waits although there is a place");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_queue_agrees_with_its_model(limit in 1_usize..4, operations in operations()) {
        check::<Fifo<u32>>(limit, operations);
    }

    #[test]
    fn a_priority_queue_agrees_with_its_model(limit in 1_usize..4, operations in operations()) {
        check::<Heap<u32>>(limit, operations);
    }

    #[test]
    fn a_lifo_queue_agrees_with_its_model(limit in 1_usize..4, operations in operations()) {
        check::<Stack<u32>>(limit, operations);
    }
}

#[test]
fn getters_are_served_in_the_order_they_came() {
    run(async {
        let queue = Rc::new(Queue::unbounded());
        let getters: Vec<_> = (0..5)
            .map(|_| {
                let queue = Rc::clone(&queue);
                spawn(async move { queue.get().await })
            })
            .collect();
        yield_now().await;
        for number in 0..5 {
            queue.try_put(number).expect("there is no limit");
        }
        for (number, getter) in getters.into_iter().enumerate() {
            assert_eq!(getter.await.expect("it has a result"), Ok(number));
        }
    })
    .expect("it runs");
}

#[test]
fn a_getter_that_was_chosen_and_cancelled_leaves_its_item_to_the_next() {
    run(async {
        let queue = Rc::new(Queue::unbounded());
        let getter = || {
            let queue = Rc::clone(&queue);
            spawn(async move { queue.get().await })
        };
        let (first, second) = (getter(), getter());
        yield_now().await;
        queue.try_put(42).expect("there is no limit");
        first.cancel();
        assert_eq!(second.await.expect("it has a result"), Ok(42));
        assert!(first.await.is_err());
    })
    .expect("it runs");
}

#[test]
fn a_shutdown_wakes_all_who_wait_and_returns_the_items_that_are_left() {
    run(async {
        let queue = Rc::new(Queue::bounded(1));
        queue.try_put(1).expect("there is a place");
        let putting = Rc::clone(&queue);
        let putter = spawn(async move { putting.put(2).await });
        yield_now().await;
        queue.shutdown(false);
        assert_eq!(putter.await.expect("it has a result").expect_err("it is shut down").0, 2);
        assert_eq!(queue.try_put(3), Err(TryPutError::ShutDown(3)));
        assert_eq!(queue.get().await, Ok(1));
        assert_eq!(queue.get().await, Err(QueueShutDown));
        assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
    })
    .expect("it runs");
}

#[test]
fn an_immediate_shutdown_discards_the_items_and_ends_a_join() {
    run(async {
        let queue = Rc::new(Queue::unbounded());
        queue.try_put(1).expect("there is no limit");
        let joining = Rc::clone(&queue);
        let join = spawn(async move { joining.join().await });
        let getting = Rc::clone(&queue);
        let never = spawn(async move {
            let _: u32 = getting.get().await.expect("an item");
            pending::<()>().await;
        });
        never.cancel();
        yield_now().await;
        assert!(!join.is_done());
        queue.shutdown(true);
        join.await.expect("it has a result");
        assert!(queue.is_empty());
    })
    .expect("it runs");
}

#[test]
#[should_panic(expected = "`task_done` was called more often than items were put")]
fn task_done_counts() {
    let queue = Queue::unbounded();
    queue.try_put(1).expect("there is no limit");
    queue.task_done();
    queue.task_done();
}

#[test]
fn the_kinds_differ_in_their_order() {
    let (fifo, heap, stack) = (Queue::unbounded(), PriorityQueue::unbounded(), LifoQueue::unbounded());
    for number in [2, 1, 3] {
        fifo.try_put(number).expect("there is no limit");
        heap.try_put(number).expect("there is no limit");
        stack.try_put(number).expect("there is no limit");
    }
    let drain = |take: &dyn Fn() -> Option<i32>| std::iter::from_fn(take).collect::<VecDeque<_>>();
    assert_eq!(drain(&|| fifo.try_get().ok()), [2, 1, 3]);
    assert_eq!(drain(&|| heap.try_get().ok()), [1, 2, 3]);
    assert_eq!(drain(&|| stack.try_get().ok()), [3, 1, 2]);
}
