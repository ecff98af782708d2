//! The search of schedules, against trees of choices that are known.

use std::collections::HashSet;

use ferrio_engine::{Freedom, Freedoms, ScheduleSearch, Tape};
use proptest::prelude::*;

/// A program whose choices depend on the ones before, as those of real programs do.
fn run(tape: &mut Tape, shape: &[u8]) -> Vec<usize> {
    let mut taken = Vec::new();
    let mut position = 0;
    while position < shape.len() {
        let alternatives = usize::from(shape[position] % 4);
        let chosen = if shape[position].is_multiple_of(3) {
            let chains: Vec<u64> = (0..alternatives as u64).collect();
            let chosen = tape.choose_arrival(&chains, false);
            tape.note_landed(chosen as u64);
            chosen
        } else {
            tape.choose(Freedom::Stall, 1 + shape[position] % 2, alternatives)
        };
        taken.push(chosen);
        position += 1 + chosen;
    }
    taken
}

/// Every schedule of the program, by plain recursion.
fn all(shape: &[u8]) -> HashSet<Vec<usize>> {
    let mut found = HashSet::new();
    let mut pending = vec![(0, Vec::new())];
    while let Some((position, taken)) = pending.pop() {
        if position >= shape.len() {
            found.insert(taken);
            continue;
        }
        for chosen in 0..usize::from(shape[position] % 4).max(1) {
            let mut longer = taken.clone();
            longer.push(chosen);
            pending.push((position + 1 + chosen, longer));
        }
    }
    found
}

const BOTH: Freedoms = Freedoms::NONE.with(Freedom::Arrival).with(Freedom::Stall);

proptest! {
    #[test]
    fn the_search_ends_when_it_has_run_each_schedule(shape in prop::collection::vec(any::<u8>(), 0..9), seed in any::<u64>()) {
        let mut search = ScheduleSearch::new(seed);
        let mut seen = HashSet::new();
        while let Some(plan) = search.next_plan() {
            let mut tape = plan.tape(BOTH);
            seen.insert(run(&mut tape, &shape));
            search.finish(&plan, &tape, 0);
        }
        prop_assert!(search.is_exhausted());
        prop_assert_eq!(&seen, &all(&shape));
        prop_assert_eq!(search.distinct(), seen.len());
        prop_assert!(search.unseen().abs() < f64::EPSILON);
    }

    #[test]
    fn a_log_that_is_planned_again_gives_the_same_run(shape in prop::collection::vec(any::<u8>(), 0..30), seed in any::<u64>()) {
        let mut search = ScheduleSearch::new(seed);
        for _ in 0..200 {
            let Some(plan) = search.next_plan() else { break };
            let mut tape = plan.tape(BOTH);
            let taken = run(&mut tape, &shape);
            search.finish(&plan, &tape, 0);
            let planned: Vec<u8> = tape.log().iter().map(|choice| choice.taken).collect();
            let mut again = ferrio_engine::Plan::repeat(planned).tape(BOTH);
            prop_assert_eq!(run(&mut again, &shape), taken);
        }
    }
}

#[test]
fn without_freedom_there_is_one_schedule() {
    let mut search = ScheduleSearch::new(1);
    let plan = search.next_plan().expect("the undisturbed run");
    let mut tape = plan.tape(Freedoms::NONE);
    assert!(run(&mut tape, &[2, 3, 6, 7]).iter().all(|chosen| *chosen == 0));
    assert!(tape.log().is_empty());
    search.finish(&plan, &tape, 0);
    assert!(search.next_plan().is_none());
}

#[test]
fn cheap_schedules_come_first() {
    let mut search = ScheduleSearch::new(1);
    let mut costs = Vec::new();
    for _ in 0..20 {
        let Some(plan) = search.next_plan() else { break };
        let mut tape = plan.tape(BOTH);
        for _ in 0..3 {
            tape.choose(Freedom::Stall, 2, 2);
            tape.choose(Freedom::Stall, 1, 2);
        }
        costs.push(tape.log().iter().map(ferrio_engine::Choice::cost_taken).sum::<usize>());
        search.finish(&plan, &tape, 0);
    }
    assert!(costs.is_sorted(), "{costs:?}");
}
