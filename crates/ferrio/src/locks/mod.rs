//! Locks, events, semaphores, conditions and barriers.
//!
//! Who is next decides ferrio-engine, by asyncio's rules: first come, first served, and a waiter that is dropped after
//! it was chosen passes its turn on. They need no runtime: any executor of one thread may poll their futures.

mod barrier;
mod condition;
mod event;
mod lock;
mod semaphore;
pub(crate) mod wait_slot;

pub use barrier::{Barrier, BarrierWait, BrokenBarrier, WaitBarrier};
pub use condition::Condition;
pub use event::{Event, WaitEvent};
pub use lock::{Acquire, Lock, LockGuard};
pub use semaphore::{AcquirePermit, Permit, Semaphore};
