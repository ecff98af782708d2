//! Python coroutines whose body is a Rust `async` block: the way to write what is not hot.
//!
//! The body waits for Python awaitables through a `Channel`: what the awaitable yields goes up to whoever drives the
//! coroutine, what is sent or thrown comes back down. No waker is involved: resuming polls exactly once. The object
//! itself is `ferrio_cpython::objects::coroutine`'s, as are the bodies written by hand.

use std::any::TypeId;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use pyo3::BoundObject;
use pyo3::prelude::*;

/// What passes between the body and whoever drives it, and what the body waits for and owns meanwhile.
#[derive(Default)]
struct Slots {
    yielded: Option<Py<PyAny>>,
    resumed: Option<PyResult<Py<PyAny>>>,
    awaiting: Option<Awaiting>,
    /// A second reference to the object of each `Owned`, in its place.
    owned: Vec<Option<Py<PyAny>>>,
}

/// The body's end: by it the body waits for Python awaitables.
#[derive(Clone)]
pub(crate) struct Channel(Arc<GilCell<Slots>>);

/// Makes coroutine objects around `async` blocks.
pub(crate) enum Coroutine {}

/// An `async` block as the body of a coroutine object.
struct Block {
    code: Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>> + Send>>,
    channel: Channel,
    fresh: bool,
}

impl Coroutine {
    /// A coroutine named `qualified_name` (as in `EventLoop.sock_recv`) with the body that `make_body` returns.
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
                    // As from a function; in PyO3 a unit value is an empty tuple.
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

    /// What a block holds otherwise than by `Owned` cannot be listed: until it ends, it keeps that alive.
    fn traverse(&self, visitor: &Visitor<'_>) {
        self.channel.0.visit(visitor, |slots| {
            if let Some(awaiting) = &slots.awaiting {
                awaiting.traverse(visitor);
            }
            for object in slots.owned.iter().flatten() {
                // For the place and for the `Owned`.
                visitor.show(object);
                visitor.show(object);
            }
        });
    }
}

/// A reference that a block owns and the collector sees. What may lead back to the task is owned this way, so that a task
/// that nobody finishes goes with its loop.
pub(crate) struct Owned<T> {
    object: Py<T>,
    channel: Channel,
    place: usize,
}

impl<T> Owned<T> {
    /// Another reference to the object, for whoever has it next.
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
        Python::try_attach(|py| {
            let second = self.channel.0.with(py, |slots| slots.owned.get_mut(self.place).and_then(Option::take));
            drop(second);
        });
    }
}

impl Channel {
    /// Waits for a Python awaitable, as `await` does.
    ///
    /// # Errors
    /// What it raises; what is thrown into the coroutine passes through it first.
    pub(crate) async fn wait(&self, awaitable: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let mut awaiting = Python::attach(|py| Awaiting::new(awaitable.bind(py)))?;
        drop(awaitable);
        let mut input = Python::attach(|py| Ok(py.None()));
        loop {
            if let Some(value) = Python::attach(|py| self.go_on(py, awaiting, input))? {
                return Ok(value);
            }
            input = Suspension { channel: self, yielded: false }.await;
            let waiting = Python::attach(|py| self.0.with(py, |slots| slots.awaiting.take()));
            awaiting = waiting.expect("put there by `go_on`, and a body waits for one thing at a time");
        }
    }

    /// Goes on with an await: gives its result, or leaves it where the collector sees it.
    fn go_on(&self, py: Python<'_>, mut awaiting: Awaiting, input: PyResult<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
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

    /// Lets the collector see a reference of the block's.
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

    /// Lets one turn of the loop pass, as `asyncio.sleep(0)`.
    ///
    /// # Errors
    /// What is thrown into the coroutine.
    pub(crate) async fn pass_turn(&self) -> PyResult<()> {
        Python::attach(|py| self.0.with(py, |slots| slots.yielded = Some(py.None())));
        Suspension { channel: self, yielded: false }.await.map(drop)
    }
}

/// One suspension: pending at the first poll, then what came down.
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
