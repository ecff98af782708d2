//! Queues: first in first out, by priority, last in first out.

mod operations;
mod queue;
mod storage;

pub use operations::{Get, Put};
pub use queue::{LifoQueue, OrderedQueue, PriorityQueue, PutError, Queue, QueueShutDown, TryGetError, TryPutError};
pub use storage::{Fifo, Heap, Stack, Storage};
