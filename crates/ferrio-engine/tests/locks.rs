//! Locks and semaphores in random sequences of operations, against a wait queue kept by hand.
//!
//! The test plays the loop: a waiter that is woken or cancelled resumes in that order, and may be cancelled again
//! meanwhile.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use ferrio_engine::{LockState, Released, SemaphoreState, Ticket, Waiter, WaiterState};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Token {
    number: usize,
    waiter_state: Rc<Cell<WaiterState>>,
}

impl Waiter for Token {
    fn waiter_state(&self) -> WaiterState {
        self.waiter_state.get()
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Acquire,
    Release,
    /// Cancels one of the waiters that are parked or woken, chosen by the number.
    Cancel(usize),
    /// Lets the next one resume.
    Return,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => Just(Operation::Acquire),
        3 => Just(Operation::Release),
        3 => any::<usize>().prop_map(Operation::Cancel),
        5 => Just(Operation::Return),
    ]
}

/// What a lock and a semaphore have in common; the waiters to wake are returned.
trait Primitive {
    fn try_acquire(&mut self) -> bool;
    fn park(&mut self, token: Token) -> Ticket;
    fn release(&mut self, wake: &mut dyn FnMut(&Token));
    fn take_over(&mut self, ticket: Ticket, wake: &mut dyn FnMut(&Token));
    fn give_up(&mut self, ticket: Ticket, waiter_state: WaiterState, wake: &mut dyn FnMut(&Token));
    /// Permits that no waiter has.
    fn free(&self) -> usize;
}

impl Primitive for LockState<Token> {
    fn try_acquire(&mut self) -> bool {
        Self::try_acquire(self)
    }

    fn park(&mut self, token: Token) -> Ticket {
        Self::park(self, token).expect("there is memory")
    }

    fn release(&mut self, wake: &mut dyn FnMut(&Token)) {
        match Self::release(self) {
            Released::NotHeld => panic!("somebody holds it"),
            Released::Free(next) => next.into_iter().for_each(wake),
        }
    }

    fn take_over(&mut self, ticket: Ticket, _: &mut dyn FnMut(&Token)) {
        assert!(!self.locked, "two holders");
        assert!(Self::take_over(self, ticket).is_some());
    }

    fn give_up(&mut self, ticket: Ticket, _: WaiterState, wake: &mut dyn FnMut(&Token)) {
        assert!(self.waiters.remove(ticket).is_some());
        self.pass_on().into_iter().for_each(wake);
    }

    fn free(&self) -> usize {
        usize::from(!self.locked)
    }
}

/// A semaphore, and whether it hands out all free permits when a waiter resumes, as it does from 3.13 on.
struct Semaphore {
    permits: SemaphoreState<Token>,
    refills: bool,
}

impl Semaphore {
    fn refill(&mut self, wake: &mut dyn FnMut(&Token)) {
        while let Some(token) = self.permits.choose_if_free() {
            wake(token);
            if !self.refills {
                break;
            }
        }
    }
}

impl Primitive for Semaphore {
    fn try_acquire(&mut self) -> bool {
        self.permits.try_acquire()
    }

    fn park(&mut self, token: Token) -> Ticket {
        self.permits.park(token).expect("there is memory")
    }

    fn release(&mut self, wake: &mut dyn FnMut(&Token)) {
        self.permits.release();
        self.permits.choose().into_iter().for_each(wake);
    }

    fn take_over(&mut self, ticket: Ticket, wake: &mut dyn FnMut(&Token)) {
        assert!(self.permits.leave(ticket).is_some());
        self.refill(wake);
    }

    fn give_up(&mut self, ticket: Ticket, waiter_state: WaiterState, wake: &mut dyn FnMut(&Token)) {
        assert!(self.permits.leave(ticket).is_some());
        if waiter_state == WaiterState::Chosen {
            self.permits.release();
        }
        self.refill(wake);
    }

    fn free(&self) -> usize {
        usize::try_from(self.permits.value).expect("never below zero")
    }
}

struct Queued {
    token: Token,
    ticket: Ticket,
    gives_up: bool,
}

impl Queued {
    fn is_chosen(&self) -> bool {
        self.token.waiter_state() == WaiterState::Chosen
    }
}

fn check(permits: usize, free: usize, holders: usize, given: usize, is_waited_for: bool) {
    assert!(holders <= permits, "more holders than permits");
    assert_eq!(free + given, permits, "permits were lost");
    assert!(!is_waited_for || free == 0, "a waiter was left while a permit is free");
}

/// Runs `operations` on a primitive with `permits` permits.
fn run(mut primitive: impl Primitive, permits: usize, counts_chosen: bool, operations: Vec<Operation>) {
    // The model: the waiters that are to get a permit, in this order, and how many have one.
    let (mut expected, mut holders) = (VecDeque::new(), 0);
    let (mut queued, mut ready, mut arrived) = (Vec::<Queued>::new(), VecDeque::<usize>::new(), 0);
    let remaining = std::iter::repeat_n(Operation::Return, operations.len() * 2);
    for operation in operations.into_iter().chain(remaining) {
        let mut wake = |token: &Token| {
            assert_eq!(token.waiter_state.replace(WaiterState::Chosen), WaiterState::Waiting, "woken twice");
            ready.push_back(token.number);
        };
        match operation {
            Operation::Acquire => {
                let number = arrived;
                arrived += 1;
                if primitive.try_acquire() {
                    assert!(expected.is_empty(), "a newcomer passed somebody");
                    holders += 1;
                } else {
                    let token = Token { number, waiter_state: Rc::new(Cell::new(WaiterState::Waiting)) };
                    let ticket = primitive.park(token.clone());
                    queued.push(Queued { token, ticket, gives_up: false });
                    expected.push_back(number);
                }
            }
            Operation::Release if holders > 0 => {
                holders -= 1;
                primitive.release(&mut wake);
            }
            Operation::Cancel(choice) if !queued.is_empty() => {
                let place = choice % queued.len();
                let waiter = &mut queued[place];
                expected.retain(|number| *number != waiter.token.number);
                if waiter.token.waiter_state() == WaiterState::Waiting {
                    waiter.token.waiter_state.set(WaiterState::Cancelled);
                    ready.push_back(waiter.token.number);
                }
                waiter.gives_up = true;
            }
            Operation::Return if !ready.is_empty() => {
                let number = ready.pop_front().expect("not empty");
                let mut wake = |token: &Token| {
                    assert_eq!(token.waiter_state.replace(WaiterState::Chosen), WaiterState::Waiting, "woken twice");
                    ready.push_back(token.number);
                };
                let place = queued.iter().position(|waiter| waiter.token.number == number).expect("is parked");
                let Queued { token, ticket, gives_up } = queued.remove(place);
                if gives_up {
                    primitive.give_up(ticket, token.waiter_state(), &mut wake);
                } else {
                    assert_eq!(expected.pop_front(), Some(number), "somebody was passed");
                    primitive.take_over(ticket, &mut wake);
                    holders += 1;
                }
            }
            Operation::Release | Operation::Cancel(_) | Operation::Return => {}
        }
        let given = holders + if counts_chosen { queued.iter().filter(|waiter| waiter.is_chosen()).count() } else { 0 };
        check(permits, primitive.free(), holders, given, ready.is_empty() && !expected.is_empty());
    }
    assert!(ready.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_lock_has_one_holder_and_goes_in_order(operations in prop::collection::vec(operation(), 0..200)) {
        run(LockState::default(), 1, false, operations);
    }

    #[test]
    fn a_semaphore_keeps_its_permits_and_goes_in_order(
        permits in 1usize..5, refills in any::<bool>(), operations in prop::collection::vec(operation(), 0..200),
    ) {
        let value = i64::try_from(permits).expect("small");
        run(Semaphore { permits: SemaphoreState::new(value), refills }, permits, true, operations);
    }
}

#[test]
fn cancelled_waiter_passes_its_turn_on() {
    let mut lock = LockState::default();
    assert!(lock.try_acquire());
    let tokens: Vec<_> =
        (0..2).map(|number| Token { number, waiter_state: Rc::new(Cell::new(WaiterState::Waiting)) }).collect();
    let tickets: Vec<_> = tokens.iter().map(|token| lock.park(token.clone()).expect("there is memory")).collect();
    assert!(matches!(lock.release(), Released::Free(Some(next)) if next.number == 0));
    tokens[0].waiter_state.set(WaiterState::Chosen);
    assert!(!lock.try_acquire(), "a newcomer barged in");
    assert!(lock.waiters.remove(tickets[0]).is_some());
    assert_eq!(lock.pass_on().map(|next| next.number), Some(1));
    assert!(matches!(lock.release(), Released::NotHeld));
}
