//! shield: what goes on although its caller is cancelled.

use crate::task::{Task, spawn};

/// Runs `future` as a task that goes on if the caller is cancelled while it awaits it.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// ferrio::run(async {
///     let is_saved = Rc::new(Cell::new(false));
///     let saving = Rc::clone(&is_saved);
///     let caller = ferrio::spawn(async move {
///         ferrio::shield(async move {
///             ferrio::yield_now().await;
///             ferrio::yield_now().await;
///             saving.set(true);
///         })
///         .await
///     });
///     ferrio::yield_now().await;
///     caller.cancel();
///     assert!(caller.await.is_err());
///     ferrio::yield_now().await;
///     ferrio::yield_now().await;
///     assert!(is_saved.get());
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn(future)
}
