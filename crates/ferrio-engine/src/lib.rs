//! The loop's logic without its surroundings: what runs next, which timer is due, what is registered where, what is left to send.
//!
//! Nothing here does I/O, reads a clock or knows Python: instants come in as arguments, system calls go out as small values the caller
//! carries out, and handlers are of any type. Whatever a structure gives up is handed to the caller instead of being dropped in
//! place, because dropping a handler may run arbitrary code that comes back to the very same structure.
#![forbid(unsafe_code)]

mod descriptors;
mod doze;
mod exchange;
mod exclusion;
mod flag;
mod flow;
mod incoming;
mod permits;
mod ready;
mod registrations;
mod timers;
mod tls_records;
mod turn;
mod waiters;
mod write_buffer;

pub use doze::DozePolicy;
pub use exchange::{Done, Exchange, Side};
pub use exclusion::{Exclusion, Released};
pub use flag::Flag;
pub use flow::{Buffered, Drained, FlowControl};
pub use incoming::{Found, Incoming, Search, Separators};
pub use permits::Permits;
pub use ready::ReadyQueue;
pub use registrations::{Asked, Change, Entry, Interest, Occupied, Registered, Registrations, Removed, Role, Trigger};
pub use timers::{Cancellable, Deadline, Timers};
pub use tls_records::{NextRecord, TlsRecord, TlsRecords};
pub use turn::PollPolicy;
pub use waiters::{Standing, Ticket, Waiter, Waiters};
pub use write_buffer::WriteBuffer;
