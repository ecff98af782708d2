//! Exploring the schedules of a program: the choices of one run, and which choices the next run makes.
//!
//! A run asks its [`Tape`] whenever the loop's surroundings leave something open, and the tape notes what it answered.
//! Alternative 0 is always what happens without interference, so that a run is described by the choices that differ
//! from it. [`Search`] plans runs: first the undisturbed one, then all that differ from it in one choice, in two, and so
//! on; once that takes too long it mixes random samples in. Invariant: the systematic part plans no schedule twice, and
//! it says that a space is exhausted only when each of its schedules has been planned.

mod choice;
mod random;
mod recording;
mod search;
mod tape;

pub use choice::{Choice, Freedom, Freedoms};
pub use recording::{Decoder, Encoder, Ending, Entry, Operation, Position, Unreadable};
pub use search::{Plan, Search};
pub use tape::{Sampling, Tape};
