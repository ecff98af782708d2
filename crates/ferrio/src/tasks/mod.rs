//! Several tasks together: gather, wait, `as_completed`, task groups, shield.

mod as_completed;
mod ended;
mod gather;
mod shield;
mod task_group;
mod wait;

pub use as_completed::{AsCompleted, as_completed};
pub use gather::{Gather, gather, join_all};
pub use shield::shield;
pub use task_group::{GroupError, TaskGroup, task_group};
pub use wait::{ReturnWhen, wait};
