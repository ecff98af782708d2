//! The loop's logic without its surroundings: what runs next, which timer is due, what is registered for which
//! descriptor, what is left to send.
//!
//! Nothing here does I/O, reads a clock or knows Python: instants come in as arguments, system calls go out as small
//! values that the caller carries out, and handlers are of any type. Every value that a structure removes is returned
//! to the caller instead of being dropped in place, because dropping a handler may run arbitrary code that calls the
//! same structure again.
#![forbid(unsafe_code)]

mod address_hash;
mod crew;
mod descriptors;
mod event_state;
mod exploration;
mod flight;
mod flow;
mod incoming;
mod interest;
mod join_policy;
mod lock_state;
mod poll_policy;
mod queue_state;
mod ready;
mod registrations;
mod semaphore_state;
mod spin;
mod timers;
mod tls_records;
mod wait_table;
mod waiters;
mod write_buffer;

pub use address_hash::AddressHasher;
pub use crew::Crew;
pub use event_state::EventState;
pub use exploration::{Choice, Freedom, Freedoms, Plan, Sampling, Search as ScheduleSearch, Tape};
pub use exploration::{Decoder, Encoder, Ending, Entry as Recorded, Operation, Position, Unreadable};
pub use flight::{Durations, FlightKind, FlightRecord, FlightRing};
pub use flow::{Buffered, Drained, FlowControl};
pub use incoming::{Found, Incoming, Search, Separators};
pub use interest::{Change, Interest, PollerEntry, Trigger};
pub use join_policy::{Callback, FirstWrite, JoinPolicy};
pub use lock_state::{LockState, Released};
pub use poll_policy::PollPolicy;
pub use queue_state::{Done, QueueState, Side};
pub use ready::ReadyQueue;
pub use registrations::{Entry, Occupied, Registered, Registrations, Removed, Role};
pub use semaphore_state::SemaphoreState;
pub use spin::SpinPolicy;
pub use timers::{Cancellable, Deadline, Timers};
pub use tls_records::{NextRecord, TlsRecord, TlsRecords};
pub use wait_table::{Primitive, WaitTable};
pub use waiters::{Ticket, Waiter, WaiterState, Waiters};
pub use write_buffer::WriteBuffer;
