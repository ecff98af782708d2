//! The steps that have ended and are not noted yet.
//!
//! A loop that does nothing but run one step after the other notes them many at a time: that takes half as much as one by
//! one. Whatever else happens notes them first (`Timeline::with`).

/// How many steps fit.
const STEPS: usize = 256;

/// A step that has ended, but not its task.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) until: u64,
    /// What is awaited.
    pub(super) label: u64,
    /// How many callbacks were ready then.
    pub(super) ready: usize,
    /// Where the task is in the table: it stays there until the step is noted.
    pub(super) place: u32,
    /// How it has ended.
    pub(super) detail: u8,
}

#[derive(Default)]
pub(super) struct Log {
    steps: Vec<Step>,
}

impl Log {
    /// Empties it, and makes room. Without memory there is none.
    pub(super) fn reset(&mut self) {
        self.steps.clear();
        let _ = self.steps.try_reserve_exact(STEPS);
    }

    /// Adds a step. False if there is no room.
    #[inline(always)] // `switch_100`
    pub(super) fn add(&mut self, step: &Step) -> bool {
        let fits = self.steps.len() < self.steps.capacity();
        if fits {
            self.steps.push(*step);
        }
        fits
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }
}
