//! A value that notes when it is dropped.

use std::cell::RefCell;
use std::rc::Rc;

/// Adds its value to the list when it is dropped.
pub(crate) struct Noted<T: Clone>(pub(crate) T, pub(crate) Rc<RefCell<Vec<T>>>);

impl<T: Clone> Drop for Noted<T> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0.clone());
    }
}
