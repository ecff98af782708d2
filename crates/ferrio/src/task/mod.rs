//! Tasks: futures that run by themselves, and their handles.

mod body;
mod bounded_drop;
mod join;

use std::rc::{Rc, Weak};

pub use join::{CancelOnDrop, Canceller, Task};

use crate::runtime::local::Local;
use crate::runtime::task_waker::Key;
use crate::runtime::{Runtime, TaskId, current};

use body::Spawned;
use join::Join;

/// Runs `future` beside the caller, from the next turn on; it need not be `Send`.
///
/// Dropping the returned handle detaches the task, as in asyncio: it goes on. [`Task::cancel_on_drop`] returns a handle
/// that cancels it instead.
///
/// # Panics
///
/// Panics if no runtime runs on this thread.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::{Rc, Weak};
///
/// ferrio::run(async {
///     let count = Rc::new(Cell::new(0));
///     let shared = Rc::clone(&count);
///     let task = ferrio::spawn(async move { shared.set(shared.get() + 1) });
///     assert_eq!(count.get(), 0, "it has not begun");
///     task.await.expect("it has a result");
///     assert_eq!(count.get(), 1);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_in(&current::expect("spawn"), future)
}

/// The task whose step runs, if one does.
///
/// ```
/// ferrio::run(async {
///     let task = ferrio::spawn(async { ferrio::current_task() });
///     let id = task.id();
///     assert_eq!(task.await.expect("it has a result"), Some(id));
/// })?;
/// assert_eq!(ferrio::current_task(), None);
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[must_use]
pub fn current_task() -> Option<TaskId> {
    current::with(|local| local.current().get()).flatten().map(TaskId)
}

impl Runtime {
    /// Runs `future` as a task whenever this runtime runs; see [`spawn`].
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn_in(self.local(), future)
    }

    /// The tasks that are not done, in the order they were spawned.
    ///
    /// ```
    /// let runtime = ferrio::Runtime::new();
    /// let task = runtime.spawn(async {});
    /// assert_eq!(runtime.all_tasks(), [task.id()]);
    /// runtime.run_until(task)?.expect("it has a result");
    /// assert!(runtime.all_tasks().is_empty());
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskId> {
        self.local().tasks().into_iter().map(TaskId).collect()
    }
}

fn spawn_in<F: Future + 'static>(local: &Rc<Local>, future: F) -> Task<F::Output> {
    let join = Join::new();
    match local.spawn(Box::pin(Spawned::new(future, Rc::clone(&join)))) {
        Ok(key) => Task::new(join, key, Rc::downgrade(local)),
        // A destructor spawns while the runtime is dropped: the task ends before it begins.
        Err(body) => {
            drop(body);
            Task::new(join, Key::MAIN, Weak::new())
        }
    }
}
