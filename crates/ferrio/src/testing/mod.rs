//! For tests: runs in virtual time, and under the schedules that a program may meet.
//!
//! A race shows only in some orders of events. [`Explorer`] runs a program under many of them, and what it finds has a
//! [`Schedule`], by which [`repeat`] makes the same run happen again.

mod explorer;
mod schedule;

pub use explorer::{Explored, Explorer, Fault, Finding, repeat, run_with_seed};
pub use schedule::{Order, ParseScheduleError, Schedule};

use crate::error::RunError;
use crate::runtime::Runtime;

/// Runs `future` like [`run`](crate::run), but in virtual time: the clock begins at 0, stands still while there is work,
/// and jumps to the next deadline when there is none. It waits for calls in other threads, and counts no time for them.
///
/// # Errors
///
/// Any error of [`run`](crate::run).
///
/// ```
/// use std::time::Duration;
/// use ferrio::time;
///
/// let length = ferrio::testing::run_in_virtual_time(async {
///     let begin = time::now();
///     ferrio::sleep(Duration::from_secs(3600)).await;
///     time::now() - begin
/// })?;
/// assert_eq!(length, Duration::from_secs(3600));
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn run_in_virtual_time<F: Future>(future: F) -> Result<F::Output, RunError> {
    if crate::runtime::current::is_entered() {
        return Err(RunError::Nested);
    }
    Runtime::with_virtual_time().run_until(future)
}
