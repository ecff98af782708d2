//! Drops results of tasks without deep recursion.
//!
//! A result may own the handle of another finished task, whose result owns the next, and so on. Beyond a depth the
//! results go to a list, which the outermost drop empties.

use std::any::Any;
use std::cell::{Cell, RefCell};

/// How many drops may be inside one another on the stack.
const DEPTH: u32 = 32;

thread_local! {
    static DROPS: Drops = const { Drops { depth: Cell::new(0), postponed: RefCell::new(Vec::new()) } };
}

struct Drops {
    /// How many calls of [`bounded_drop`] are on the stack.
    depth: Cell<u32>,
    postponed: RefCell<Vec<Box<dyn Any>>>,
}

/// Lowers the depth again, even if a destructor panics.
struct Deeper;

impl Drop for Deeper {
    fn drop(&mut self) {
        DROPS.with(|drops| drops.depth.set(drops.depth.get() - 1));
    }
}

/// Drops `value` before the outermost call returns.
pub(super) fn bounded_drop<T: 'static>(value: T) {
    // At the thread's end the list may be gone: then nothing is postponed.
    let Ok(depth) = DROPS.try_with(|drops| drops.depth.replace(drops.depth.get() + 1)) else {
        drop(value);
        return;
    };
    let _deeper = Deeper;
    if depth >= DEPTH {
        DROPS.with(|drops| drops.postponed.borrow_mut().push(Box::new(value)));
        return;
    }
    drop(value);
    if depth == 0 {
        while let Some(next) = DROPS.with(|drops| drops.postponed.borrow_mut().pop()) {
            drop(next);
        }
    }
}
