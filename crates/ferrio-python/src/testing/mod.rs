//! The simulation of `ferrio.testing`: what takes the place of a loop's clock, poll and threads, and explores what they
//! may do.
//!
//! The loop itself is the ordinary one; see `LoopBase`'s seams. `simulation.rs` has the Python class, `state.rs` what a run
//! has come to, `turn.rs` decides what lands in a turn and is what tells the legal from the rest, `clock.rs` what the clock
//! shows, `real_io.rs` lands things where I/O is real, `seams.rs` connects them to a loop. `record.rs` records a real loop,
//! `replay.rs` repeats that.

mod baton;
mod brought;
mod clock;
mod lent_thread;
mod real_io;
pub(crate) mod record;
mod replay;
mod seams;
mod simulation;
mod stand_in;
mod state;
mod turn;

pub(crate) use baton::Baton;
pub(crate) use lent_thread::LentThread;
pub(crate) use simulation::Simulation;
