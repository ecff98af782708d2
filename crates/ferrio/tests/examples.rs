//! The examples of `examples/rust` run, and what they assert holds.

#[path = "../../../examples/rust/async_iterators.rs"]
mod async_iterators;
#[path = "../../../examples/rust/barrier.rs"]
mod barrier;
#[path = "../../../examples/rust/blocking_work_in_threads.rs"]
mod blocking_work_in_threads;
#[path = "../../../examples/rust/cancelling.rs"]
mod cancelling;
#[path = "../../../examples/rust/condition.rs"]
mod condition;
#[path = "../../../examples/rust/coroutines.rs"]
mod coroutines;
#[path = "../../../examples/rust/cpu_work_in_threads.rs"]
mod cpu_work_in_threads;
#[path = "../../../examples/rust/event.rs"]
mod event;
#[path = "../../../examples/rust/exceptions.rs"]
mod exceptions;
#[path = "../../../examples/rust/futures.rs"]
mod futures;
#[path = "../../../examples/rust/inspecting.rs"]
mod inspecting;
#[path = "../../../examples/rust/lock.rs"]
mod lock;
#[path = "../../../examples/rust/producer_and_consumers.rs"]
mod producer_and_consumers;
#[path = "../../../examples/rust/resources.rs"]
mod resources;
#[path = "../../../examples/rust/running_a_loop.rs"]
mod running_a_loop;
#[path = "../../../examples/rust/scraper.rs"]
mod scraper;
#[path = "../../../examples/rust/semaphore.rs"]
mod semaphore;
#[path = "../../../examples/rust/streams.rs"]
mod streams;
#[path = "../../../examples/rust/tasks_and_gather.rs"]
mod tasks_and_gather;
#[path = "../../../examples/rust/timeouts.rs"]
mod timeouts;
#[path = "../../../examples/rust/waiting.rs"]
mod waiting;

macro_rules! examples {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            self::$name::main().expect("the example succeeds");
        })*
    };
}

examples!(
    async_iterators,
    barrier,
    blocking_work_in_threads,
    cancelling,
    condition,
    coroutines,
    cpu_work_in_threads,
    event,
    exceptions,
    futures,
    inspecting,
    lock,
    producer_and_consumers,
    resources,
    running_a_loop,
    scraper,
    semaphore,
    streams,
    tasks_and_gather,
    timeouts,
    waiting
);
