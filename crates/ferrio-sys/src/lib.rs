//! The operating system as the loop needs it: waiting for readiness, waking a wait, the clock, sockets.
//!
//! The only crate that knows one system from another; above it nothing asks on which it runs. Nothing here knows Python, keeps loop state
//! or retries: an interrupted or refused call comes back as the `io::Error` it was, because only the caller knows whether signal
//! handlers have to run first.
//!
//! Descriptors are taken as plain numbers: Python's objects own them, and what a number means may change between two calls. A wrong number
//! is answered by the system with `EBADF`, like everywhere else in Python.

#[cfg(not(unix))]
compile_error!("ferrio needs a Unix system: Linux is supported, macOS is untried, Windows is not supported");

pub mod child;
pub mod clock;
mod descriptor;
pub mod file;
mod forced_unwinding;
pub mod fork;
pub mod poller;
mod reserve;
pub mod socket;
pub mod stack;
mod waker;

pub use forced_unwinding::park_threads_ended_by_force;
pub use poller::{Events, Interest, Mode, Poller, Readiness, Token};
pub use socket::SocketAddress;
pub use waker::Waker;
