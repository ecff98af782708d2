//! The runtime that runs on this thread.

use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use super::local::Local;
use super::task_waker::{Key, Shared};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// While it exists, a runtime is this thread's.
pub(crate) struct Entered {
    before: Option<Rc<Local>>,
}

/// Makes `local` this thread's runtime.
pub(crate) fn enter(local: &Rc<Local>) -> Entered {
    Entered { before: CURRENT.replace(Some(Rc::clone(local))) }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let ended = CURRENT.replace(self.before.take());
        drop(ended);
    }
}

/// Whether a runtime runs on this thread.
pub(crate) fn is_entered() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// Calls `action` with this thread's runtime.
pub(crate) fn with<R>(action: impl FnOnce(&Rc<Local>) -> R) -> Option<R> {
    CURRENT.with_borrow(|current| current.as_ref().map(action))
}

/// This thread's runtime.
///
/// # Panics
///
/// Panics if none runs, and says what was called.
#[track_caller]
pub(crate) fn expect(what: &str) -> Rc<Local> {
    let Some(local) = with(Rc::clone) else {
        panic!("`{what}` needs a running runtime on this thread: call it inside `ferrio::run`");
    };
    local
}

/// Puts a task into the ready queue if its runtime runs on this thread.
#[inline]
pub(crate) fn queue_if_own(shared: &Arc<Shared>, key: Key) -> bool {
    let queue = |current: &RefCell<Option<Rc<Local>>>| match &*current.borrow() {
        Some(local) if ptr::eq(Arc::as_ptr(local.shared()), Arc::as_ptr(shared)) => {
            local.queue(key);
            true
        }
        Some(_) | None => false,
    };
    // A waker may be used by the destructor of another thread-local value, at the thread's end.
    CURRENT.try_with(queue).unwrap_or(false)
}
