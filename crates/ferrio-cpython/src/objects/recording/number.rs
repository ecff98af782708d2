//! How records name a task.

/// A task in the table: its place, and its number, which no other task gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) place: u32,
    /// From 1 on.
    pub serial: u64,
}
