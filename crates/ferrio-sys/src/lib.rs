//! The operating system as the loop needs it: waiting for readiness, waking a wait, the clock, sockets.
//!
//! The only crate with code for particular systems; above it no code checks on which system it runs. Nothing here knows
//! Python, keeps loop state or retries: an interrupted or refused call is returned as its `io::Error`, because only the
//! caller knows whether signal handlers have to run first.
//!
//! Descriptors are taken as plain numbers: Python's objects own them, and what a number means may change between two
//! calls. For a wrong number the system returns `EBADF`, like everywhere else in Python.

#[cfg(not(unix))]
compile_error!("ferrio needs a Unix system: Linux is supported, macOS is untried, Windows is not supported");

mod background_threads;
mod bell;
pub mod child;
pub mod clock;
mod descriptor;
pub mod file;
mod forced_unwinding;
pub mod fork;
pub mod inspection;
pub mod interruption;
pub mod memory;
mod parker;
pub mod pending_writes;
pub mod poller;
pub mod program_section;
mod reserve;
mod signals;
mod sleep_state;
pub mod socket;
pub mod stack;
mod sync;
mod waker;
pub mod watching;

pub use bell::{Bell, Wake};
pub use forced_unwinding::park_threads_ended_by_force;
pub use parker::Parker;
pub use pending_writes::{PendingWrites, Sent};
pub use poller::{Events, Interest, Mode, Poller, Readiness, Token};
pub use sleep_state::SleepState;
pub use socket::SocketAddress;
pub use waker::Waker;
