//! `MemoryObjectSendStream.send` and `send_nowait`.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::memory::BoxSpace;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::memory_stream::{Now, add_waiter, is_closed, send_now, state_of};
use super::originals::{self, Blocked, Methods, nothing};
use super::stream_state::{Side, StreamState};
use super::stream_waits::Waiting;
use super::{backend, stream_ends};

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<1, SendNowait>()?;
    methods.replace::<1, SendMethod>()?;
    stream_ends::replace_of_sender(methods)
}

/// `send_nowait`, which raises errors other than `WouldBlock`.
#[inline]
fn try_send<'py>(
    stream: &Bound<'py, PyAny>,
    state: &Bound<'py, StreamState>,
    item: &Bound<'py, PyAny>,
) -> PyResult<Now<()>> {
    let py = stream.py();
    if is_closed(stream)? {
        return Err(originals::anyio_error(py, "ClosedResourceError"));
    }
    if !state.get().has_open(py, Side::Receivers) {
        return Err(originals::anyio_error(py, "BrokenResourceError"));
    }
    send_now(state, item)
}

struct SendNowait;

impl Method<1> for SendNowait {
    type Class = PyAny;
    const NAME: &'static CStr = c"send_nowait";
    const TEXT: &'static str = "MemoryObjectSendStream.send_nowait";
    const DOC: &'static CStr = c"send_nowait($self, item)\n--\n\nSend an item if it can be done without waiting.";
    const ARGUMENTS: [&'static str; 1] = ["item"];

    fn call<'py>(slf: &Bound<'py, PyAny>, [item]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        let Some(state) = state_of(slf)? else {
            return originals::original(slf, Self::TEXT, &[&item]).map(Bound::unbind);
        };
        match try_send(slf, &state, &item)? {
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
    Turn(OwnedRef<StreamState>),
    /// Waits until the item was taken.
    Waiting(Box<Place>),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

/// A wait in the state's wait queue.
struct Place {
    state: OwnedRef<StreamState>,
    waiting: OwnedRef<Waiting>,
    awaiting: Awaiting,
    blocked: Blocked,
}

impl Send {
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let stream = self.stream.bind(py);
        if backend::our_loop(py)?.is_some()
            && CLASS.is_exact(stream)
            && let Some(state) = state_of(stream)?
        {
            self.stage = Stage::Turn(OwnedRef::of(&state));
            return Ok(Step::Yielded(nothing(py)));
        }
        let (awaiting, step) = originals::await_original(stream, SendMethod::TEXT, &[self.item.bind(py)])?;
        self.stage = Stage::Theirs(awaiting);
        Ok(step)
    }

    /// Sends the item, or begins to wait.
    #[inline]
    fn send<'py>(&mut self, state: &Bound<'py, StreamState>) -> PyResult<Step<'py>> {
        let py = state.py();
        if let Now::Done(()) = try_send(self.stream.bind(py), state, self.item.bind(py))? {
            return Ok(Step::Returned(nothing(py)));
        }
        self.park(state)
    }

    fn park<'py>(&mut self, state: &Bound<'py, StreamState>) -> PyResult<Step<'py>> {
        let py = state.py();
        let blocked = Blocked::now(py);
        let space = BoxSpace::new(py)?;
        let (waiting, mut awaiting) = Waiting::sender(self.item.bind(py))?;
        add_waiter(self.stream.bind(py), waiting.as_any())?;
        state.get().park(Side::Senders, &waiting)?;
        let step = awaiting.resume(py, Ok(nothing(py)));
        if step.is_err() {
            return self.leave(state, waiting.as_any(), step, &blocked);
        }
        let place = Place { state: OwnedRef::of(state), waiting: OwnedRef::of(&waiting), awaiting, blocked };
        self.stage = Stage::Waiting(space.fill(place));
        step
    }

    /// Ends the wait, which returned or raised `outcome`.
    fn leave<'py>(
        &self,
        state: &Bound<'py, StreamState>,
        waiting: &Bound<'py, PyAny>,
        outcome: PyResult<Step<'py>>,
        blocked: &Blocked,
    ) -> PyResult<Step<'py>> {
        let py = state.py();
        let stream = self.stream.bind(py);
        let is_left = state.get().remove(Side::Senders, waiting)?;
        let waiters = stream.getattr(pyo3::intern!(py, "_waiters"))?;
        let is_withdrawn = is_closed(stream)? && waiters.contains(waiting)?;
        match waiters.cast_exact::<PySet>() {
            Ok(waiters) => waiters.discard(waiting).map(drop)?,
            Err(_) => waiters.call_method1(pyo3::intern!(py, "discard"), (waiting,)).map(drop)?,
        }
        if let Err(error) = outcome {
            return Err(originals::with_context(py, error, || blocked.error(py)));
        }
        if is_left {
            let raise = || originals::anyio_error(py, "BrokenResourceError");
            return Err(originals::from_none(py, &blocked.error(py), raise));
        }
        if is_withdrawn {
            let raise = || originals::anyio_error(py, "ClosedResourceError");
            return Err(originals::from_none(py, &blocked.error(py), raise));
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
            Stage::Turn(state) => {
                input?;
                let state = state.bind(py).clone();
                self.send(&state)
            }
            Stage::Waiting(place) => {
                let outcome = place.awaiting.resume(py, input);
                if let Ok(Step::Yielded(_)) = outcome {
                    return outcome;
                }
                let (state, waiting) = (place.state.bind(py).clone(), place.waiting.bind(py).clone());
                let blocked = std::mem::take(&mut place.blocked);
                self.leave(&state, waiting.as_any(), outcome, &blocked)
            }
            Stage::Theirs(awaiting) => awaiting.resume(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.stream);
        visitor.show_owned(&self.item);
        match &self.stage {
            Stage::New => {}
            Stage::Turn(state) => visitor.show_owned(state),
            Stage::Waiting(place) => {
                visitor.show_owned(&place.state);
                visitor.show_owned(&place.waiting);
                place.awaiting.traverse(visitor);
                place.blocked.traverse(visitor);
            }
            Stage::Theirs(awaiting) => awaiting.traverse(visitor),
        }
    }
}
