//! A task's body: its future, and where its outcome goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::error::{Cancelled, TaskError};
use crate::runtime::slots::Body;

use super::join::Join;

pin_project! {
    /// Invariant: the future is dropped before the outcome is stored, so whoever sees the outcome sees what the
    /// future's destructors did.
    pub(super) struct Spawned<F: Future> {
        #[pin]
        future: Option<F>,
        join: Rc<Join<F::Output>>,
    }

    impl<F: Future> PinnedDrop for Spawned<F> {
        fn drop(this: Pin<&mut Self>) {
            if this.future.is_some() {
                Spawned::end(this, Cancelled::because("the runtime was dropped"));
            }
        }
    }
}

impl<F: Future> Spawned<F> {
    pub(super) fn new(future: F, join: Rc<Join<F::Output>>) -> Self {
        Self { future: Some(future), join }
    }

    /// Drops the future, and stores that it was cancelled, or the panic of its destructor.
    fn end(self: Pin<&mut Self>, reason: Cancelled) {
        let mut this = self.project();
        let outcome = match catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            Ok(()) => TaskError::Cancelled(reason),
            Err(payload) => TaskError::panicked(payload),
        };
        this.join.complete(Err(outcome));
    }
}

impl<F: Future> Body for Spawned<F> {
    fn step(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let poll = catch_unwind(AssertUnwindSafe(|| {
            let Some(future) = this.future.as_mut().as_pin_mut() else { unreachable!("its step ended it") };
            let output = ready!(future.poll(context));
            this.future.set(None);
            Poll::Ready(output)
        }));
        let outcome = match poll {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => {
                // A second panic, in the destructor, was reported by its hook; the first one is the outcome.
                let _ = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
                Err(TaskError::panicked(payload))
            }
        };
        this.join.complete(outcome);
        Poll::Ready(())
    }

    fn cancel(self: Pin<&mut Self>, reason: Cancelled) {
        self.end(reason);
    }
}
