//! The tasks of a runtime, in slots.
//!
//! Invariants: a slot has its body except while the body runs; the generation grows when a task leaves, so a key names
//! one task for ever. A slot keeps its waker for the next task if nobody else has a reference to it, which saves an
//! allocation for each task. Bodies are returned, never dropped here: dropping one runs foreign code.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::Cancelled;

use super::task_waker::{Key, Shared, TaskWaker};

/// A task's future with the place for its outcome.
pub(crate) trait Body {
    /// Polls the future; it never unwinds. The outcome is stored when it is ready.
    fn step(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()>;

    /// Drops the future and stores why.
    fn cancel(self: Pin<&mut Self>, reason: Cancelled);
}

struct Slot {
    /// The same waker as `waker`, which cannot be asked.
    wake: Arc<TaskWaker>,
    /// Absent while the body runs, and in a free slot whose waker is in use elsewhere.
    waker: Option<Waker>,
    generation: u32,
    /// When the task was spawned, relative to the others.
    sequence: u64,
    /// Set from a request to cancel until the step that follows it.
    cancelled: Option<Cancelled>,
    /// Absent while it runs, and in a free slot.
    body: Option<Pin<Box<dyn Body>>>,
    is_used: bool,
}

/// All tasks.
pub(crate) struct Slots {
    entries: Vec<Slot>,
    free: Vec<u32>,
    sequence: u64,
}

/// A body outside its slot, for one step.
pub(crate) struct Step {
    pub(crate) body: Pin<Box<dyn Body>>,
    pub(crate) waker: Waker,
    pub(crate) cancelled: Option<Cancelled>,
}

impl Slots {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Adds a task, which the caller queues.
    pub(crate) fn insert(&mut self, body: Pin<Box<dyn Body>>, shared: &Arc<Shared>) -> Key {
        self.sequence += 1;
        let sequence = self.sequence;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.entries[index as usize];
            let key = Key { index, generation: slot.generation };
            if slot.waker.is_some() {
                slot.wake.reuse(key.generation);
            } else {
                slot.wake = TaskWaker::new(key, shared);
                slot.waker = Some(Waker::from(Arc::clone(&slot.wake)));
            }
            slot.body = Some(body);
            slot.sequence = sequence;
            slot.is_used = true;
            return key;
        }
        let index = u32::try_from(self.entries.len()).ok().filter(|index| *index < Key::MAIN.index);
        let key = Key { index: index.expect("fewer than 2^32 tasks fit into memory"), generation: 0 };
        let wake = TaskWaker::new(key, shared);
        let waker = Some(Waker::from(Arc::clone(&wake)));
        let (generation, cancelled, body) = (0, None, Some(body));
        self.entries.push(Slot { wake, waker, generation, sequence, cancelled, body, is_used: true });
        key
    }

    /// Takes the task's body out for a step; None if the task is done.
    #[inline]
    pub(crate) fn begin_step(&mut self, key: Key) -> Option<Step> {
        let slot = self.slot(key)?;
        let (body, waker) = (slot.body.take()?, slot.waker.take()?);
        slot.wake.begin_step();
        Some(Step { body, waker, cancelled: slot.cancelled.take() })
    }

    /// Puts the body back: the task waits.
    #[inline]
    pub(crate) fn suspend(&mut self, key: Key, step: Step) {
        let slot = &mut self.entries[key.index as usize];
        slot.body = Some(step.body);
        slot.waker = Some(step.waker);
    }

    /// Frees the slot of a task whose body the caller has.
    #[inline]
    pub(crate) fn finish(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        let slot = &mut self.entries[key.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.cancelled = None;
        slot.is_used = false;
        self.free.push(key.index);
        // The slot's own two references.
        if Arc::strong_count(&slot.wake) == 2 {
            slot.waker = Some(waker);
            return None;
        }
        Some(waker)
    }

    /// Requests that the task's next step drops its future, and queues the task; false if it is done.
    pub(crate) fn cancel(&mut self, key: Key, reason: Cancelled) -> bool {
        let Some(slot) = self.slot(key) else { return false };
        slot.cancelled = Some(reason);
        slot.wake.schedule();
        true
    }

    /// Takes out all tasks that do not run, in the order they were spawned.
    pub(crate) fn take_all(&mut self) -> Vec<Pin<Box<dyn Body>>> {
        let mut found = Vec::new();
        for (index, slot) in self.entries.iter().enumerate() {
            if slot.body.is_some() {
                found.push((slot.sequence, index));
            }
        }
        found.sort_unstable();
        let mut bodies = Vec::with_capacity(found.len());
        for (_, index) in found {
            let slot = &mut self.entries[index];
            bodies.extend(slot.body.take());
            slot.generation = slot.generation.wrapping_add(1);
            slot.is_used = false;
            // Not free: a runtime that is closed takes no tasks.
        }
        bodies
    }

    /// The tasks that are not done, in the order they were spawned.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut found = Vec::new();
        for (index, slot) in (0_u32..).zip(&self.entries) {
            if slot.is_used {
                found.push((slot.sequence, Key { index, generation: slot.generation }));
            }
        }
        found.sort_unstable_by_key(|(sequence, _)| *sequence);
        found.into_iter().map(|(_, key)| key).collect()
    }

    #[inline]
    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.entries.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation && slot.is_used)
    }
}
