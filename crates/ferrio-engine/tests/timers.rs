//! The timers against a sorted list, in random sequences of operations.

use std::cell::Cell;
use std::rc::Rc;

use ferrio_engine::{Cancellable, Deadline, Timers};
use proptest::prelude::*;

/// The sequence number of arming, and whether it was cancelled since.
#[derive(Clone, Debug)]
struct Item {
    number: usize,
    cancelled: Rc<Cell<bool>>,
}

impl Item {
    fn new(number: usize) -> Self {
        Self { number, cancelled: Rc::default() }
    }
}

impl Cancellable for Item {
    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Arm(f64),
    /// Cancels one of those still waiting, chosen by the number.
    Cancel(usize),
    PopDue(f64),
    NextDeadline,
}

fn deadline() -> impl Strategy<Value = f64> {
    // Few different instants, so that equal ones are common.
    prop_oneof![8 => (-5i32..40).prop_map(f64::from), 1 => Just(f64::INFINITY), 1 => Just(-0.0), 1 => any::<f64>()]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => deadline().prop_map(Operation::Arm),
        4 => any::<usize>().prop_map(Operation::Cancel),
        1 => deadline().prop_map(Operation::PopDue),
        1 => Just(Operation::NextDeadline),
    ]
}

/// The same as [`Timers`], simple: live items sorted by deadline, then by number.
#[derive(Default)]
struct Model {
    waiting: Vec<(Deadline, Item)>,
}

impl Model {
    fn arm(&mut self, deadline: Deadline, item: Item) {
        let place = self.waiting.partition_point(|(other, _)| *other <= deadline);
        self.waiting.insert(place, (deadline, item));
    }

    /// The number of the first live item due before `end`.
    fn pop_due(&mut self, end: Deadline) -> Option<usize> {
        let (first, _) = self.waiting.first()?;
        (*first < end).then(|| self.waiting.remove(0).1.number)
    }
}

/// Runs `operations` on both and compares them after each.
fn compare(operations: Vec<Operation>) {
    let (mut timers, mut model) = (Timers::new(), Model::default());
    let mut graveyard = Vec::new();
    let (mut armed, mut cancelled, mut left) = (0, 0, 0);
    for operation in operations {
        match operation {
            Operation::Arm(deadline) => {
                let item = Item::new(armed);
                armed += 1;
                model.arm(Deadline(deadline), item.clone());
                timers.arm(Deadline(deadline), item);
            }
            Operation::Cancel(choice) => {
                if !model.waiting.is_empty() {
                    let (_, item) = model.waiting.remove(choice % model.waiting.len());
                    item.cancelled.set(true);
                    cancelled += 1;
                    timers.note_cancelled(&mut graveyard);
                }
            }
            Operation::PopDue(end) => loop {
                let due = timers.pop_due(Deadline(end));
                match due {
                    Some(item) if item.is_cancelled() => graveyard.push(item),
                    Some(item) => {
                        left += 1;
                        assert_eq!(Some(item.number), model.pop_due(Deadline(end)));
                    }
                    None => {
                        assert_eq!(model.pop_due(Deadline(end)), None);
                        break;
                    }
                }
            },
            Operation::NextDeadline => {
                let expected = model.waiting.first().map(|(deadline, _)| *deadline);
                assert_eq!(timers.next_deadline(&mut graveyard), expected);
            }
        }
        assert_eq!(timers.live(), model.waiting.len());
        assert_eq!(armed, left + graveyard.len() + timers.len(), "items were lost");
        assert!(timers.len() - timers.live() <= 64.max(timers.len() / 2), "too much was left behind");
        assert!(graveyard.iter().all(Item::is_cancelled));
    }
    assert_eq!(timers.iter().filter(|item| item.is_cancelled()).count(), cancelled - graveyard.len());
    let mut remaining: Vec<_> =
        timers.take_all().into_iter().filter(|item| !item.is_cancelled()).map(|item| item.number).collect();
    let mut expected: Vec<_> = model.waiting.iter().map(|(_, item)| item.number).collect();
    remaining.sort_unstable();
    expected.sort_unstable();
    assert_eq!(remaining, expected);
    assert!(timers.is_empty());
    assert_eq!(timers.live(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn timers_behave_like_a_sorted_list(operations in prop::collection::vec(operation(), 0..600)) {
        compare(operations);
    }

    #[test]
    fn what_a_purge_leaves_is_in_order(deadlines in prop::collection::vec(deadline(), 300), keep in 1usize..8) {
        let mut timers = Timers::new();
        let items: Vec<_> = (0..deadlines.len()).map(Item::new).collect();
        for (deadline, item) in deadlines.iter().zip(&items) {
            timers.arm(Deadline(*deadline), item.clone());
        }
        let mut graveyard = Vec::new();
        for item in items.iter().filter(|item| item.number % 8 >= keep) {
            item.cancelled.set(true);
            timers.note_cancelled(&mut graveyard);
        }
        let mut expected: Vec<_> = items.iter().filter(|item| !item.is_cancelled()).map(|item| item.number).collect();
        expected.sort_by_key(|number| Deadline(deadlines[*number]));
        let mut order = Vec::new();
        while timers.next_deadline(&mut graveyard).is_some_and(|next| next < Deadline::NEVER) {
            order.extend(timers.pop_due(Deadline::NEVER).map(|item| item.number));
        }
        expected.truncate(order.len());
        prop_assert_eq!(&order, &expected);
        prop_assert!(expected.len() + timers.len() + graveyard.len() == items.len());
    }

    #[test]
    fn deadlines_order_like_floats(first in any::<f64>(), second in any::<f64>()) {
        prop_assume!(!first.is_nan() && !second.is_nan());
        prop_assert_eq!(Deadline(first).partial_cmp(&Deadline(second)), first.partial_cmp(&second));
    }
}

#[test]
fn equal_deadlines_come_in_the_order_of_arming() {
    let mut timers = Timers::default();
    for number in 0..100 {
        timers.arm(Deadline(if number % 2 == 0 { 0.0 } else { -0.0 }), Item::new(number));
    }
    let order: Vec<_> = std::iter::from_fn(|| timers.pop_due(Deadline(1.0))).map(|item| item.number).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
}

#[test]
fn the_end_itself_is_not_due() {
    let mut timers = Timers::new();
    timers.arm(Deadline(1.0), Item::new(0));
    assert!(timers.pop_due(Deadline(1.0)).is_none());
    assert!(timers.pop_due(Deadline(1.0 + f64::EPSILON)).is_some());
}

#[test]
fn infinity_is_never_due_and_nan_at_once() {
    let mut timers = Timers::new();
    timers.arm(Deadline::NEVER, Item::new(1));
    timers.arm(Deadline(f64::NAN), Item::new(0));
    assert!(timers.pop_due(Deadline(f64::MIN)).is_some());
    assert!(timers.pop_due(Deadline(f64::MAX)).is_none());
    assert_eq!(timers.next_deadline(&mut Vec::new()), Some(Deadline::NEVER));
}

#[test]
fn arming_and_cancelling_leaves_nothing_behind() {
    let mut timers = Timers::new();
    let mut graveyard = Vec::new();
    timers.arm(Deadline(1.0), Item::new(0));
    for number in 1..1000 {
        let item = Item::new(number);
        timers.arm(Deadline(100.0), item.clone());
        item.cancelled.set(true);
        timers.note_cancelled(&mut graveyard);
        assert_eq!((timers.len(), graveyard.len()), (1, number));
    }
}

#[test]
fn cancelled_timers_before_all_others_are_purged() {
    let mut timers = Timers::new();
    let mut graveyard = Vec::new();
    for number in 0..1000 {
        timers.arm(Deadline(1e9), Item::new(number));
    }
    for number in 0u32..10_000 {
        let item = Item::new(0);
        timers.arm(Deadline(-f64::from(number)), item.clone());
        item.cancelled.set(true);
        timers.note_cancelled(&mut graveyard);
        assert!(timers.len() <= 2001);
    }
    assert_eq!(timers.live(), 1000);
    assert_eq!(timers.next_deadline(&mut graveyard), Some(Deadline(1e9)));
    assert_eq!((timers.len(), graveyard.len()), (1000, 10_000));
}

proptest! {
    #[test]
    fn a_timer_that_is_taken_out_leaves_the_others_in_order(
        deadlines in prop::collection::vec(0_u8..8, 1..40),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let mut timers = Timers::new();
        let first = timers.next_sequence();
        for (number, deadline) in deadlines.iter().enumerate() {
            timers.arm(Deadline(f64::from(*deadline)), Item::new(number));
        }
        let mut left: Vec<(u8, usize)> = deadlines.iter().copied().zip(0..).collect();
        for choice in choices.iter().take(deadlines.len() / 2) {
            let (_, number) = left.remove(choice.index(left.len()));
            let taken = timers.take(first + number as u64).expect("armed");
            prop_assert_eq!(taken.number, number);
        }
        left.sort_unstable();
        let mut armed: Vec<(Deadline, u64, usize)> = timers
            .armed_up_to(Deadline(8.0))
            .map(|(deadline, sequence, item)| (deadline, sequence, item.number))
            .collect();
        armed.sort_by_key(|(deadline, sequence, _)| (*deadline, *sequence));
        prop_assert_eq!(armed.iter().map(|entry| entry.2).collect::<Vec<_>>(), left.iter().map(|entry| entry.1).collect::<Vec<_>>());
        for (_, number) in left {
            prop_assert_eq!(timers.pop_due(Deadline(f64::INFINITY)).map(|item| item.number), Some(number));
        }
        prop_assert!(timers.is_empty());
    }
}
