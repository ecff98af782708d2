//! `MemoryObjectSendStream.send` and `send_nowait`.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::normalized;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;

use super::memory_stream::{Now, add_waiter, is_closed, send_now, state_of};
use super::originals::{self, Methods, nothing};
use super::{backend, event, stream_ends};
use crate::locks::event::Wait;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<1, SendNowait>()?;
    methods.replace::<1, SendMethod>()?;
    stream_ends::replace_of_sender(methods)
}

/// `send_nowait`, which raises errors other than `WouldBlock`.
fn try_send<'py>(stream: &Bound<'py, PyAny>, item: &Bound<'py, PyAny>) -> PyResult<Now<()>> {
    let py = stream.py();
    if is_closed(stream)? {
        return Err(originals::anyio_error(py, "ClosedResourceError"));
    }
    let state = state_of(stream)?;
    if !state.getattr(pyo3::intern!(py, "open_receive_channels"))?.is_truthy()? {
        return Err(originals::anyio_error(py, "BrokenResourceError"));
    }
    send_now(&state, item)
}

struct SendNowait;

impl Method<1> for SendNowait {
    type Class = PyAny;
    const NAME: &'static CStr = c"send_nowait";
    const TEXT: &'static str = "MemoryObjectSendStream.send_nowait";
    const DOC: &'static CStr = c"send_nowait($self, item)\n--\n\nSend an item if it can be done without waiting.";
    const ARGUMENTS: [&'static str; 1] = ["item"];

    fn call<'py>(slf: &Bound<'py, PyAny>, [item]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        match try_send(slf, &item)? {
            Now::Done(()) => Ok(slf.py().None()),
            Now::WouldBlock => Err(originals::anyio_error(slf.py(), "WouldBlock")),
        }
    }
}

struct SendMethod;

impl Method<1> for SendMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"send";
    const TEXT: &'static str = "MemoryObjectSendStream.send";
    const DOC: &'static CStr = c"send($self, item)\n--\n\nSend an item to the stream.";
    const ARGUMENTS: [&'static str; 1] = ["item"];

    fn call<'py>(slf: &Bound<'py, PyAny>, [item]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        let body = Send { stream: OwnedRef::of(slf), item: item.into(), stage: Stage::New };
        coroutine::spawn(slf.py(), Self::TEXT, body)
    }
}

/// The body of `send`.
struct Send {
    stream: OwnedRef,
    item: OwnedRef,
    stage: Stage,
}

enum Stage {
    New,
    /// Lets the other tasks run first.
    Turn,
    /// Waits under that event of anyio's until the item was taken.
    Waiting(Box<(Wait, OwnedRef)>),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

impl Send {
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let stream = self.stream.bind(py);
        if backend::our_loop(py)?.is_some() && CLASS.is_exact(stream) {
            self.stage = Stage::Turn;
            return Ok(Step::Yielded(nothing(py)));
        }
        let (awaiting, step) = originals::await_original(stream, SendMethod::TEXT, &[self.item.bind(py)])?;
        self.stage = Stage::Theirs(awaiting);
        Ok(step)
    }

    /// Sends the item, or begins to wait.
    fn send<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let (stream, item) = (self.stream.bind(py), self.item.bind(py));
        if let Now::Done(()) = try_send(stream, item)? {
            return Ok(Step::Returned(nothing(py)));
        }
        let (event, mut wait) = event::new_wait(py)?;
        add_waiter(stream, &event)?;
        state_of(stream)?.getattr(pyo3::intern!(py, "waiting_senders"))?.set_item(&event, item)?;
        let step = wait.resume(py, Ok(nothing(py)));
        if step.is_err() {
            return self.leave(py, &event, step);
        }
        self.stage = Stage::Waiting(Box::new((wait, event.into())));
        step
    }

    /// Ends the wait, which returned or raised `outcome`.
    fn leave<'py>(
        &self,
        py: Python<'py>,
        event: &Bound<'py, PyAny>,
        outcome: PyResult<Step<'py>>,
    ) -> PyResult<Step<'py>> {
        let stream = self.stream.bind(py);
        let would_block = || normalized(py, originals::anyio_error(py, "WouldBlock"));
        let senders = state_of(stream)?.getattr(pyo3::intern!(py, "waiting_senders"))?;
        let is_left = senders.contains(event)?;
        if is_left {
            senders.del_item(event)?;
        }
        let waiters = stream.getattr(pyo3::intern!(py, "_waiters"))?;
        let is_withdrawn = is_closed(stream)? && waiters.contains(event)?;
        waiters.call_method1(pyo3::intern!(py, "discard"), (event,))?;
        if let Err(error) = outcome {
            return Err(originals::with_context(py, error, would_block));
        }
        if is_left {
            let raise = || originals::anyio_error(py, "BrokenResourceError");
            return Err(originals::from_none(py, &would_block(), raise));
        }
        if is_withdrawn {
            let raise = || originals::anyio_error(py, "ClosedResourceError");
            return Err(originals::from_none(py, &would_block(), raise));
        }
        Ok(Step::Returned(nothing(py)))
    }
}

impl Body for Send {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {
                input?;
                self.begin(py)
            }
            Stage::Turn => {
                input?;
                self.send(py)
            }
            Stage::Waiting(waiting) => {
                let (wait, event) = &mut **waiting;
                let outcome = wait.resume(py, input);
                if let Ok(Step::Yielded(_)) = outcome {
                    return outcome;
                }
                let event = event.bind(py).clone();
                self.leave(py, &event, outcome)
            }
            Stage::Theirs(awaiting) => awaiting.resume(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.stream);
        visitor.show_owned(&self.item);
        match &self.stage {
            Stage::New | Stage::Turn => {}
            Stage::Waiting(waiting) => {
                waiting.0.traverse(visitor);
                visitor.show_owned(&waiting.1);
            }
            Stage::Theirs(awaiting) => awaiting.traverse(visitor),
        }
    }
}
