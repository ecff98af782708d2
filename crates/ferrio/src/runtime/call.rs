//! A function that another thread asks the runtime to call, as a task without a handle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Cancelled;

use super::slots::Body;

/// The function, until it is called.
pub(crate) struct Call(Option<Box<dyn FnOnce() + Send>>);

impl Call {
    pub(crate) fn new(function: Box<dyn FnOnce() + Send>) -> Self {
        Self(Some(function))
    }
}

impl Body for Call {
    fn step(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if let Some(function) = self.0.take() {
            // A panic was reported by its hook; nobody waits for the outcome.
            let _ = catch_unwind(AssertUnwindSafe(function));
        }
        Poll::Ready(())
    }

    fn cancel(mut self: Pin<&mut Self>, _reason: Cancelled) {
        drop(self.0.take());
    }
}
