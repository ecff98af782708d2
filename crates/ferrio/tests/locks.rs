//! Locks, semaphores, events, conditions and barriers: random programs against a model, and each one's claims.
//!
//! The random programs poll waiters by hand, in the order in which they were woken, and drop some of them in between.
//! The model is a plain queue of names; both have to agree on who holds what after each operation.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use ferrio::{Barrier, BrokenBarrier, Condition, Event, Lock, Semaphore, run, spawn, yield_now};
use proptest::prelude::*;

/// Whether a waiter was woken since it was last polled.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A future that the test polls.
struct Polled<'a, T> {
    name: usize,
    woken: Arc<Woken>,
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
}

impl<'a, T> Polled<'a, T> {
    fn new(name: usize, future: impl Future<Output = T> + 'a) -> Self {
        Self { name, woken: Arc::new(Woken(AtomicBool::new(true))), future: Box::pin(future) }
    }

    /// Polls it if it was woken.
    fn poll(&mut self) -> Poll<T> {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[derive(Clone, Debug)]
enum Operation {
    /// A newcomer asks.
    Acquire,
    /// A holder releases, chosen by the number.
    Release(usize),
    /// A waiter is dropped, chosen by the number.
    Drop(usize),
    /// The woken waiter that came first is polled.
    Poll,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        4 => Just(Operation::Acquire),
        3 => any::<usize>().prop_map(Operation::Release),
        2 => any::<usize>().prop_map(Operation::Drop),
        4 => Just(Operation::Poll),
    ];
    prop::collection::vec(operation, 1..120)
}

/// Runs the operations; `acquire` makes the future that takes one of `permits`.
fn check<'a, G: 'a>(
    operations: Vec<Operation>,
    permits: usize,
    acquire: impl Fn() -> Pin<Box<dyn Future<Output = G> + 'a>>,
) {
    let mut waiting: Vec<Polled<'a, G>> = Vec::new();
    let mut holders: Vec<(usize, G)> = Vec::new();
    let mut granted: Vec<usize> = Vec::new();
    let mut dropped: Vec<usize> = Vec::new();
    let mut names = 0;
    let mut poll_woken = |waiting: &mut Vec<Polled<'a, G>>, holders: &mut Vec<(usize, G)>, all: bool| {
        let mut place = 0;
        while place < waiting.len() {
            let was_woken = waiting[place].woken.0.load(Ordering::Relaxed);
            if let Poll::Ready(guard) = waiting[place].poll() {
                let polled = waiting.remove(place);
                granted.push(polled.name);
                holders.push((polled.name, guard));
                place = 0;
            } else {
                place += 1;
            }
            assert!(holders.len() <= permits, "more holders than permits");
            if was_woken && !all {
                return;
            }
        }
    };
    for operation in operations {
        match operation {
            Operation::Acquire => {
                let mut newcomer = Polled::new(names, acquire());
                names += 1;
                if let Poll::Ready(guard) = newcomer.poll() {
                    // It overtakes nobody.
                    assert!(waiting.is_empty(), "{} overtakes {:?}", newcomer.name, waiting[0].name);
                    holders.push((newcomer.name, guard));
                } else {
                    waiting.push(newcomer);
                }
            }
            Operation::Release(number) if !holders.is_empty() => {
                drop(holders.swap_remove(number % holders.len()));
            }
            Operation::Drop(number) if !waiting.is_empty() => {
                dropped.push(waiting.remove(number % waiting.len()).name);
            }
            Operation::Poll => poll_woken(&mut waiting, &mut holders, false),
            Operation::Release(_) | Operation::Drop(_) => {}
        }
        assert!(holders.len() <= permits);
    }
    // No wake-up is lost: with all woken polled, nobody waits while a permit is free; and all get one in the end.
    loop {
        poll_woken(&mut waiting, &mut holders, true);
        assert!(waiting.is_empty() || holders.len() == permits, "a waiter sleeps although a permit is free");
        if holders.is_empty() {
            break;
        }
        drop(holders.remove(0));
    }
    assert!(granted.is_sorted(), "waiters are served in the order they came: {granted:?}");
    assert!(granted.iter().all(|name| !dropped.contains(name)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_lock_has_one_holder_serves_in_order_and_loses_no_wake_up(operations in operations()) {
        let lock = Lock::new(());
        check(operations, 1, || Box::pin(lock.acquire()));
        assert!(!lock.is_locked());
    }

    #[test]
    fn a_semaphore_has_so_many_holders_serves_in_order_and_loses_no_permit(
        operations in operations(),
        permits in 1_usize..4,
    ) {
        let semaphore = Semaphore::new(permits);
        check(operations, permits, || Box::pin(semaphore.acquire()));
        assert_eq!(semaphore.available_permits(), permits);
    }
}

#[test]
fn a_chosen_waiter_that_is_dropped_passes_the_lock_on() {
    let lock = Lock::new(0);
    let guard = lock.try_acquire().expect("it is free");
    let mut waiters: VecDeque<_> = (0..3).map(|name| Polled::new(name, lock.acquire())).collect();
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
    drop(guard);
    drop(waiters.pop_front());
    assert!(waiters[1].poll().is_pending());
    assert!(waiters[0].poll().is_ready());
}

#[test]
fn who_waits_for_an_event_goes_on_although_it_is_cleared_at_once() {
    let event = Event::new();
    let mut first = Polled::new(0, event.wait());
    assert!(first.poll().is_pending());
    event.set();
    event.clear();
    let mut second = Polled::new(1, event.wait());
    assert!(first.poll().is_ready() && second.poll().is_pending());
    assert!(!event.is_set());
    event.set();
    assert!(second.poll().is_ready());
}

#[test]
fn a_notified_waiter_that_is_dropped_passes_the_notification_on() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let waiter = |name| {
        let guard = lock.try_acquire().expect("it is free");
        let mut polled = Polled::new(name, condition.wait(guard));
        assert!(polled.poll().is_pending());
        polled
    };
    let (first, mut second, mut third) = (waiter(0), waiter(1), waiter(2));
    condition.notify(1);
    drop(first);
    assert!(second.poll().is_ready());
    assert!(third.poll().is_pending());
    condition.notify_all();
    assert!(third.poll().is_ready());
}

#[test]
fn a_notified_waiter_holds_the_lock_again() {
    run(async {
        let shared = Rc::new((Lock::new(0), Condition::new()));
        let waiting = Rc::clone(&shared);
        let task = spawn(async move {
            let guard = waiting.1.wait(waiting.0.acquire().await).await;
            assert!(waiting.0.is_locked());
            *guard
        });
        yield_now().await;
        let mut guard = shared.0.acquire().await;
        shared.1.notify(1);
        yield_now().await;
        assert!(!task.is_done());
        *guard = 42;
        drop(guard);
        assert_eq!(task.await.expect("it has a result"), 42);
    })
    .expect("it runs");
}

#[test]
fn a_barrier_has_rounds_and_a_party_that_leaves_is_not_counted() {
    let barrier = Barrier::new(2);
    let leaves = {
        let mut leaves = Polled::new(0, barrier.wait());
        assert!(leaves.poll().is_pending());
        leaves
    };
    drop(leaves);
    assert_eq!(barrier.waiting(), 0);
    for _ in 0..2 {
        let (mut first, mut second) = (Polled::new(1, barrier.wait()), Polled::new(2, barrier.wait()));
        assert!(first.poll().is_pending());
        let Poll::Ready(Ok(last)) = second.poll() else { panic!("all are there") };
        let Poll::Ready(Ok(earlier)) = first.poll() else { panic!("all are there") };
        assert_eq!((earlier.position(), last.position()), (0, 1));
    }
}

#[test]
fn who_waits_at_a_barrier_that_is_reset_fails_and_the_next_round_does_not() {
    let barrier = Barrier::new(2);
    let mut first = Polled::new(0, barrier.wait());
    assert!(first.poll().is_pending());
    barrier.reset();
    assert_eq!(first.poll(), Poll::Ready(Err(BrokenBarrier)));
    barrier.abort();
    assert!(barrier.is_broken());
    assert_eq!(Polled::new(1, barrier.wait()).poll(), Poll::Ready(Err(BrokenBarrier)));
    barrier.reset();
    assert!(Polled::new(2, barrier.wait()).poll().is_pending());
}
