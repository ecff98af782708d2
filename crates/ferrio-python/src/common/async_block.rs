//! Python coroutines whose body is a Rust `async` block, for code that is not performance-critical.
//!
//! The body awaits Python awaitables through a `Channel`: what the awaitable yields goes to the coroutine's caller, and
//! what the caller sends or throws comes back. No waker is involved: each resume polls exactly once. The coroutine
//! object is that of `ferrio_cpython::objects::coroutine`, as for bodies written by hand.

use std::any::TypeId;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use pyo3::BoundObject;
use pyo3::prelude::*;

/// What passes between the body and the coroutine's caller, and what the body awaits and owns.
#[derive(Default)]
struct Slots {
    yielded: Option<Py<PyAny>>,
    resumed: Option<PyResult<Py<PyAny>>>,
    awaiting: Option<Awaiting>,
    /// A second reference to the object of each `Owned`, at its index.
    owned: Vec<Option<Py<PyAny>>>,
}

/// The body's handle, through which it awaits Python awaitables.
#[derive(Clone)]
pub(crate) struct Channel(Arc<GilCell<Slots>>);

/// Creates coroutine objects around `async` blocks.
pub(crate) enum Coroutine {}

/// An `async` block as the body of a coroutine object.
struct Block {
    code: Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>> + Send>>,
    channel: Channel,
    fresh: bool,
}

impl Coroutine {
    /// Creates a coroutine named `qualified_name` (such as `EventLoop.sock_recv`) with the body that `make_body`
    /// returns.
    pub(crate) fn spawn<F, R>(
        py: Python<'_>,
        qualified_name: &'static str,
        make_body: impl FnOnce(Channel) -> F,
    ) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = PyResult<R>> + Send + 'static,
        R: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let channel = Channel(Arc::new(GilCell::new(Slots::default())));
        let body = make_body(channel.clone());
        let block = async move {
            let value = body.await?;
            Python::attach(|py| {
                if TypeId::of::<R>() == TypeId::of::<()>() {
                    // As for a function without a result; PyO3 would convert the unit value to an empty tuple.
                    return Ok(py.None());
                }
                value.into_pyobject(py).map(|bound| bound.into_any().unbind()).map_err(Into::into)
            })
        };
        spawn(py, qualified_name, Block { code: Box::pin(block), channel, fresh: true })
    }
}

impl Body for Block {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if !std::mem::take(&mut self.fresh) {
            let input = input.map(Bound::unbind);
            let stale = self.channel.0.with(py, |slots| slots.resumed.replace(input));
            drop(stale);
        }
        match self.code.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                let yielded = self.channel.0.with(py, |slots| slots.yielded.take());
                Ok(Step::Yielded(yielded.unwrap_or_else(|| py.None()).into_bound(py)))
            }
            Poll::Ready(result) => result.map(|value| Step::Returned(value.into_bound(py))),
        }
    }

    /// References that a block holds other than by `Owned` are invisible to the garbage collector, so they stay alive
    /// until the block ends.
    fn traverse(&self, visitor: &Visitor<'_>) {
        self.channel.0.visit(visitor, |slots| {
            if let Some(awaiting) = &slots.awaiting {
                awaiting.traverse(visitor);
            }
            for object in slots.owned.iter().flatten() {
                // Visited twice, for the slot's reference and the `Owned`'s.
                visitor.show(object);
                visitor.show(object);
            }
        });
    }
}

/// A reference that a block owns and the garbage collector sees. References that may lead back to the task are owned
/// this way, so that an unfinished task is collected together with its loop.
pub(crate) struct Owned<T> {
    object: Py<T>,
    channel: Channel,
    place: usize,
}

impl<T> Owned<T> {
    /// Another reference to the object, for the next owner.
    pub(crate) fn handed_over(self) -> Py<T> {
        Python::attach(|py| self.object.clone_ref(py))
    }
}

impl<T> Deref for Owned<T> {
    type Target = Py<T>;

    fn deref(&self) -> &Py<T> {
        &self.object
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        finalizing(|py| {
            let second = self.channel.0.with(py, |slots| slots.owned.get_mut(self.place).and_then(Option::take));
            drop(second);
        });
    }
}

impl Channel {
    /// Waits for a Python awaitable, as `await` does.
    ///
    /// # Errors
    /// The exception that it raises. Exceptions thrown into the coroutine pass through the awaitable first.
    pub(crate) async fn wait(&self, awaitable: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let mut awaiting = Python::attach(|py| Awaiting::new(awaitable.bind(py)))?;
        drop(awaitable);
        let mut input = Python::attach(|py| Ok(py.None()));
        loop {
            if let Some(value) = Python::attach(|py| self.advance(py, awaiting, input))? {
                return Ok(value);
            }
            input = Suspension { channel: self, yielded: false }.await;
            let waiting = Python::attach(|py| self.0.with(py, |slots| slots.awaiting.take()));
            awaiting = waiting.expect("put there by `advance`, and a body waits for one thing at a time");
        }
    }

    /// Resumes an await: returns its result, or stores it where the garbage collector sees it.
    fn advance(
        &self,
        py: Python<'_>,
        mut awaiting: Awaiting,
        input: PyResult<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        match awaiting.resume(py, input.map(|value| value.into_bound(py)))? {
            Step::Returned(value) => Ok(Some(value.unbind())),
            Step::Yielded(value) => {
                self.0.with(py, |slots| {
                    slots.yielded = Some(value.unbind());
                    slots.awaiting = Some(awaiting);
                });
                Ok(None)
            }
        }
    }

    /// Makes a reference of the block visible to the garbage collector.
    pub(crate) fn own<T>(&self, object: Py<T>) -> Owned<T> {
        let place = Python::attach(|py| {
            let second = object.clone_ref(py).into_any();
            self.0.with(py, |slots| {
                let free = slots.owned.iter().position(Option::is_none);
                let place = free.unwrap_or(slots.owned.len());
                if free.is_none() {
                    slots.owned.push(None);
                }
                slots.owned[place] = Some(second);
                place
            })
        });
        Owned { object, channel: self.clone(), place }
    }

    /// Waits for one turn of the loop, as `asyncio.sleep(0)`.
    ///
    /// # Errors
    /// Exceptions thrown into the coroutine.
    pub(crate) async fn pass_turn(&self) -> PyResult<()> {
        Python::attach(|py| self.0.with(py, |slots| slots.yielded = Some(py.None())));
        Suspension { channel: self, yielded: false }.await.map(drop)
    }
}

/// One suspension: pending at the first poll, then ready with the value or exception from the caller.
struct Suspension<'a> {
    channel: &'a Channel,
    yielded: bool,
}

impl Future for Suspension<'_> {
    type Output = PyResult<Py<PyAny>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.yielded {
            self.yielded = true;
            return Poll::Pending;
        }
        Python::attach(|py| match self.channel.0.with(py, |slots| slots.resumed.take()) {
            Some(input) => Poll::Ready(input),
            None => Poll::Pending,
        })
    }
}
