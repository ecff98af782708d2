//! Sequences of operations on a crew whose workers do jobs.

use ferrio_engine::Crew;
use proptest::prelude::*;

/// What may happen next in a pool.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A job is added.
    Add,
    /// A worker that was called takes a job, or waits.
    Arrive,
    /// A worker ends its job, and takes the next one or waits.
    End,
}

/// A pool whose jobs are numbers.
struct Pool {
    crew: Crew<u32>,
    jobs: usize,
    called: Vec<u32>,
    busy: Vec<u32>,
}

impl Pool {
    fn call(&mut self) {
        self.called.extend(self.crew.call());
    }

    fn look_for_a_job(&mut self, worker: u32) {
        if self.jobs == 0 {
            self.crew.stand_by(worker, 0).expect("memory");
            return;
        }
        self.jobs -= 1;
        self.busy.push(worker);
        if self.jobs > 0 {
            self.call();
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add => {
                self.jobs += 1;
                self.call();
            }
            Step::Arrive => {
                if let Some(worker) = self.called.pop() {
                    self.crew.arrive();
                    self.look_for_a_job(worker);
                }
            }
            Step::End => {
                if let Some(worker) = self.busy.pop() {
                    self.look_for_a_job(worker);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_job_never_waits_while_workers_are_idle_and_none_comes(
        workers in 1_u32..5,
        steps in prop::collection::vec(prop_oneof![Just(Step::Add), Just(Step::Arrive), Just(Step::End)], 0..200),
    ) {
        let mut pool = Pool { crew: Crew::default(), jobs: 0, called: Vec::new(), busy: Vec::new() };
        for worker in 0..workers {
            pool.crew.stand_by(worker, 0).expect("memory");
        }
        for step in steps {
            pool.step(step);
            prop_assert!(pool.called.len() <= 1);
            let idle = pool.crew.free() - pool.called.len();
            prop_assert_eq!(idle + pool.called.len() + pool.busy.len(), workers as usize);
            prop_assert!(pool.jobs == 0 || idle == 0 || !pool.called.is_empty());
        }
    }

    #[test]
    fn blocking_jobs_occupy_all_workers(workers in 1_u32..20, jobs in 0_usize..30) {
        let mut pool = Pool { crew: Crew::default(), jobs: 0, called: Vec::new(), busy: Vec::new() };
        for worker in 0..workers {
            pool.crew.stand_by(worker, 0).expect("memory");
        }
        for _ in 0..jobs {
            pool.step(Step::Add);
        }
        while !pool.called.is_empty() {
            pool.step(Step::Arrive);
        }
        prop_assert_eq!(pool.busy.len(), jobs.min(workers as usize));
    }
}

#[test]
fn the_worker_that_was_busy_last_is_called_first() {
    let mut crew = Crew::new();
    crew.stand_by(1, 10).expect("memory");
    crew.stand_by(2, 20).expect("memory");
    assert_eq!((crew.call(), crew.call(), crew.free()), (Some(2), None, 2));
    crew.arrive();
    assert_eq!((crew.call(), crew.take_all(), crew.free()), (Some(1), vec![], 0));
}

#[test]
fn workers_that_waited_long_are_dismissed_but_one() {
    let mut crew = Crew::new();
    for (worker, since) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
        crew.stand_by(worker, since).expect("memory");
    }
    assert_eq!((crew.dismiss(20), crew.dismiss(20), crew.dismiss(20)), (Some(1), Some(2), None));
    assert_eq!((crew.dismiss(99), crew.dismiss(99), crew.free()), (Some(3), None, 1));
}
