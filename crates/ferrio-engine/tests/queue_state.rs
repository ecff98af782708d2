//! A queue's two wait queues in random sequences of operations, beside a list of items; and the waiters of events.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use ferrio_engine::{Done, EventState, QueueState, Side, Ticket, Waiter, WaiterState};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Token {
    number: usize,
    waiter_state: Rc<Cell<WaiterState>>,
}

impl Token {
    fn new(number: usize) -> Self {
        Self { number, waiter_state: Rc::new(Cell::new(WaiterState::Waiting)) }
    }
}

impl Waiter for Token {
    fn waiter_state(&self) -> WaiterState {
        self.waiter_state.get()
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Start(Side),
    /// Cancels one of the waiters that are parked or woken, chosen by the number.
    Cancel(usize),
    /// Lets the next one resume.
    Return,
    TaskDone,
    Shutdown {
        immediate: bool,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        40 => Just(Operation::Start(Side::Put)),
        40 => Just(Operation::Start(Side::Get)),
        25 => any::<usize>().prop_map(Operation::Cancel),
        60 => Just(Operation::Return),
        20 => Just(Operation::TaskDone),
        1 => any::<bool>().prop_map(|immediate| Operation::Shutdown { immediate }),
    ]
}

struct Queued {
    side: Side,
    token: Token,
    ticket: Ticket,
    gives_up: bool,
}

/// A queue of at most `size` numbers, its loop and the expected state of both.
#[derive(Default)]
struct World {
    queue_state: QueueState<Token>,
    items: VecDeque<usize>,
    size: usize,
    queued: Vec<Queued>,
    ready: VecDeque<usize>,
    arrived: usize,
    put: usize,
    /// The item to come out next, because they come in the order in which they were put.
    got: usize,
    reported: usize,
    discarded: usize,
    refused: usize,
}

impl World {
    fn wake(&mut self, token: Option<Token>) {
        if let Some(token) = token {
            assert_eq!(token.waiter_state.replace(WaiterState::Chosen), WaiterState::Waiting, "woken twice");
            self.ready.push_back(token.number);
        }
    }

    fn is_available(&self, side: Side) -> bool {
        match side {
            Side::Get => !self.items.is_empty(),
            Side::Put => self.items.len() < self.size,
        }
    }

    /// A putter or getter tries, and is parked if it has to wait.
    fn attempt(&mut self, side: Side, number: usize) {
        if self.queue_state.is_shut_down && (side == Side::Put || self.items.is_empty()) {
            self.refused += 1;
            return;
        }
        if !self.is_available(side) {
            let token = Token::new(number);
            let ticket = self.queue_state.wait_queue(side).push(token.clone()).expect("there is memory");
            self.queued.push(Queued { side, token, ticket, gives_up: false });
            return;
        }
        let mut spent = Vec::new();
        let next = match side {
            Side::Put => {
                self.items.push_back(self.put);
                self.put += 1;
                self.queue_state.note_put();
                self.queue_state.wake_next(Side::Get, &mut spent)
            }
            Side::Get => {
                assert_eq!(self.items.pop_front(), Some(self.got), "items out of order");
                self.got += 1;
                self.queue_state.wake_next(Side::Put, &mut spent)
            }
        };
        assert!(spent.iter().all(|token| token.waiter_state() != WaiterState::Waiting), "a waiter was lost");
        self.wake(next);
    }

    fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::Start(side) => {
                self.arrived += 1;
                self.attempt(*side, self.arrived);
            }
            Operation::Cancel(choice) if !self.queued.is_empty() => {
                let place = choice % self.queued.len();
                let waiter = &mut self.queued[place];
                if waiter.token.waiter_state() == WaiterState::Waiting {
                    waiter.token.waiter_state.set(WaiterState::Cancelled);
                    self.ready.push_back(waiter.token.number);
                }
                waiter.gives_up = true;
            }
            Operation::Return if !self.ready.is_empty() => {
                let number = self.ready.pop_front().expect("not empty");
                let place = self.queued.iter().position(|waiter| waiter.token.number == number).expect("is parked");
                let Queued { side, token, ticket, gives_up } = self.queued.remove(place);
                if gives_up {
                    let available = self.is_available(side);
                    let next = self.queue_state.give_up(side, ticket, token.waiter_state(), available, &mut Vec::new());
                    self.wake(next);
                } else {
                    self.attempt(side, number);
                }
            }
            Operation::TaskDone => match self.queue_state.task_done() {
                Done::TooOften => assert_eq!(self.reported + self.discarded, self.put),
                Done::More | Done::All => self.reported += 1,
            },
            Operation::Shutdown { immediate } => {
                self.queue_state.is_shut_down = true;
                if *immediate {
                    while self.items.pop_front().is_some() {
                        self.got += 1;
                        self.discarded += usize::from(self.queue_state.unfinished > 0);
                        self.queue_state.note_discarded();
                    }
                }
                for token in self.queue_state.dismiss() {
                    if token.waiter_state() == WaiterState::Waiting {
                        self.wake(Some(token));
                    }
                }
            }
            Operation::Cancel(_) | Operation::Return => {}
        }
    }

    fn check(&self) {
        assert_eq!(self.put, self.got + self.items.len(), "items were lost");
        assert!(self.items.len() <= self.size, "more items than there is room for");
        let unfinished = self.put - self.reported - self.discarded;
        assert_eq!(usize::try_from(self.queue_state.unfinished), Ok(unfinished));
        if self.ready.is_empty() {
            let waits = |side| self.queued.iter().any(|waiter| waiter.side == side);
            assert!(!waits(Side::Get) || self.items.is_empty(), "a getter waits while there are items");
            assert!(!waits(Side::Put) || self.items.len() == self.size, "a putter waits while there is room");
            assert!(!self.queue_state.is_shut_down || self.queued.is_empty(), "somebody waits for a queue shut down");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_in_a_queue(size in 1usize..4, operations in prop::collection::vec(operation(), 0..300)) {
        let mut world = World { size, ..World::default() };
        let remaining = std::iter::repeat_n(Operation::Return, operations.len() * 2);
        for operation in operations.into_iter().chain(remaining) {
            world.step(&operation);
            world.check();
        }
        assert!(world.ready.is_empty());
    }

    #[test]
    fn setting_a_flag_wakes_all_that_wait_once(cancelled in prop::collection::vec(any::<bool>(), 0..20)) {
        let mut flag = EventState::default();
        for (number, cancelled) in cancelled.iter().enumerate() {
            let token = Token::new(number);
            token.waiter_state.set(if *cancelled { WaiterState::Cancelled } else { WaiterState::Waiting });
            let _ = flag.waiters.push(token);
        }
        let expected: Vec<_> = (0..cancelled.len()).filter(|number| !cancelled[*number]).collect();
        assert_eq!(flag.set().map(|token| token.number).collect::<Vec<_>>(), expected);
        assert_eq!(flag.set().count(), 0);
    }
}
