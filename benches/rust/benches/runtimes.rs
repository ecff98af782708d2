//! ferrio beside tokio's `LocalSet` and smol's `LocalExecutor`, in one run: spawning, switching, a queue, a lock.
//!
//! Each program is written once, as a macro over the operations of a runtime, so that all do the same and no trait
//! stands in between. What is measured is the processor time of the thread, which other processes hardly change.

use std::rc::Rc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};

mod with_ferrio {
    //! ferrio.
    pub(super) use ferrio::yield_now;

    pub(super) fn run(program: impl Future<Output = super::Duration> + 'static) -> super::Duration {
        ferrio::run(program).expect("it runs")
    }

    pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> ferrio::Task<T> {
        ferrio::spawn(future)
    }

    pub(super) type Queue = ferrio::Queue<u64>;

    pub(super) fn queue(limit: usize) -> Queue {
        ferrio::Queue::bounded(limit)
    }

    pub(super) async fn put(queue: &Queue, item: u64) {
        queue.put(item).await.expect("it is open");
    }

    pub(super) async fn get(queue: &Queue) -> u64 {
        queue.get().await.expect("it is open")
    }

    pub(super) type Lock = ferrio::Lock<u64>;

    pub(super) fn lock() -> Lock {
        ferrio::Lock::new(0)
    }

    pub(super) async fn increment(lock: &Lock) {
        let mut value = lock.acquire().await;
        *value += 1;
        yield_now().await;
    }
}

mod with_tokio {
    //! tokio on one thread, with its own channel and mutex.
    use std::cell::RefCell;

    use tokio::sync::mpsc;
    pub(super) use tokio::task::yield_now;

    pub(super) fn run(program: impl Future<Output = super::Duration> + 'static) -> super::Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        // Inside a task of the set, so that the program itself is not polled by the outer runtime.
        let program = local.spawn_local(program);
        local.block_on(&runtime, program).expect("it has a result")
    }

    pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> tokio::task::JoinHandle<T> {
        tokio::task::spawn_local(future)
    }

    pub(super) struct Queue(mpsc::Sender<u64>, RefCell<mpsc::Receiver<u64>>);

    pub(super) fn queue(limit: usize) -> Queue {
        let (sender, receiver) = mpsc::channel(limit);
        Queue(sender, RefCell::new(receiver))
    }

    pub(super) async fn put(queue: &Queue, item: u64) {
        queue.0.send(item).await.expect("it is open");
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one task receives")]
    pub(super) async fn get(queue: &Queue) -> u64 {
        queue.1.borrow_mut().recv().await.expect("it is open")
    }

    pub(super) type Lock = tokio::sync::Mutex<u64>;

    pub(super) fn lock() -> Lock {
        Lock::new(0)
    }

    pub(super) async fn increment(lock: &Lock) {
        let mut value = lock.lock().await;
        *value += 1;
        yield_now().await;
    }
}

mod with_smol {
    //! smol's executor for one thread, with async-channel and async-lock.
    use async_executor::LocalExecutor;
    pub(super) use futures_lite::future::yield_now;

    thread_local! {
        static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
    }

    pub(super) fn run(program: impl Future<Output = super::Duration> + 'static) -> super::Duration {
        let executor = EXECUTOR.with(|executor| *executor);
        futures_lite::future::block_on(executor.run(executor.spawn(program)))
    }

    pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> async_executor::Task<T> {
        EXECUTOR.with(|executor| executor.spawn(future))
    }

    pub(super) struct Queue(async_channel::Sender<u64>, async_channel::Receiver<u64>);

    pub(super) fn queue(limit: usize) -> Queue {
        let (sender, receiver) = async_channel::bounded(limit);
        Queue(sender, receiver)
    }

    pub(super) async fn put(queue: &Queue, item: u64) {
        queue.0.send(item).await.expect("it is open");
    }

    pub(super) async fn get(queue: &Queue) -> u64 {
        queue.1.recv().await.expect("it is open")
    }

    pub(super) type Lock = async_lock::Mutex<u64>;

    pub(super) fn lock() -> Lock {
        Lock::new(0)
    }

    pub(super) async fn increment(lock: &Lock) {
        let mut value = lock.lock().await;
        *value += 1;
        yield_now().await;
    }
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

/// The time of `count` operations of a program, without the runtime's start and end.
macro_rules! programs {
    ($name:ident, $runtime:ident) => {
        mod $name {
            use super::*;

            pub(super) fn spawn_and_await(count: u64) -> Duration {
                $runtime::run(async move {
                    let begin = processor_time();
                    for number in 0..count {
                        let _ = $runtime::spawn(async move { number }).await;
                    }
                    processor_time() - begin
                })
            }

            /// Two tasks in turns; each yield is one operation.
            pub(super) fn switch(count: u64) -> Duration {
                $runtime::run(async move {
                    let begin = processor_time();
                    let worker = move || async move {
                        for _ in 0..count / 2 {
                            $runtime::yield_now().await;
                        }
                    };
                    let (one, other) = ($runtime::spawn(worker()), $runtime::spawn(worker()));
                    let _ = (one.await, other.await);
                    processor_time() - begin
                })
            }

            pub(super) fn queue(count: u64, limit: usize) -> Duration {
                $runtime::run(async move {
                    let begin = processor_time();
                    let queue = Rc::new($runtime::queue(limit));
                    let target = Rc::clone(&queue);
                    let producer = $runtime::spawn(async move {
                        for number in 0..count {
                            $runtime::put(&target, number).await;
                        }
                    });
                    for _ in 0..count {
                        $runtime::get(&queue).await;
                    }
                    let _ = producer.await;
                    processor_time() - begin
                })
            }

            /// Four tasks want a lock that is always held.
            pub(super) fn contended_lock(count: u64) -> Duration {
                $runtime::run(async move {
                    let begin = processor_time();
                    let lock = Rc::new($runtime::lock());
                    let tasks = [0; 4].map(|_| {
                        let lock = Rc::clone(&lock);
                        $runtime::spawn(async move {
                            for _ in 0..count / 4 {
                                $runtime::increment(&lock).await;
                            }
                        })
                    });
                    for task in tasks {
                        let _ = task.await;
                    }
                    processor_time() - begin
                })
            }
        }
    };
}

programs!(ferrio_programs, with_ferrio);
programs!(tokio_programs, with_tokio);
programs!(smol_programs, with_smol);

fn compare(criterion: &mut Criterion, name: &str, programs: [fn(u64) -> Duration; 3]) {
    let mut group = criterion.benchmark_group(name);
    for (runtime, program) in ["ferrio", "tokio", "smol"].into_iter().zip(programs) {
        group.bench_function(runtime, |bencher| bencher.iter_custom(program));
    }
    group.finish();
}

fn runtimes(criterion: &mut Criterion) {
    use {ferrio_programs as ferrio, smol_programs as smol, tokio_programs as tokio};

    compare(criterion, "spawn_and_await", [ferrio::spawn_and_await, tokio::spawn_and_await, smol::spawn_and_await]);
    compare(criterion, "switch", [ferrio::switch, tokio::switch, smol::switch]);
    compare(criterion, "queue_handoff", [|n| ferrio::queue(n, 1), |n| tokio::queue(n, 1), |n| smol::queue(n, 1)]);
    compare(criterion, "queue_of_64", [|n| ferrio::queue(n, 64), |n| tokio::queue(n, 64), |n| smol::queue(n, 64)]);
    compare(criterion, "contended_lock", [ferrio::contended_lock, tokio::contended_lock, smol::contended_lock]);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = runtimes
}
criterion_main!(benches);
