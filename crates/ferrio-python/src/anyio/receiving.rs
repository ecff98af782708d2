//! `MemoryObjectReceiveStream.receive` and `receive_nowait`.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::memory::BoxSpace;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::{handling, normalized};
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use ferrio_cpython::objects::native_methods::Method;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::memory_stream::{Now, add_waiter, is_closed, receive_now, state_of};
use super::originals::{self, Blocked, Kept, Methods, nothing};
use super::scopes_of_tasks::running_task;
use super::stream_ends;
use super::stream_state::{Side, StreamState};
use super::stream_waits::{Waiting, no_item};

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, ReceiveNowait>()?;
    methods.replace_and_keep::<0, ReceiveMethod>(&RECEIVE)?;
    stream_ends::replace_of_receiver(methods)
}

/// Replaces `__anext__` of the class that defines it for all streams.
pub(super) fn replace_iteration(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, Next>()
}

static RECEIVE: Kept = Kept::new();

/// `receive_nowait`, which raises errors other than `WouldBlock`.
#[inline]
fn try_receive<'py>(stream: &Bound<'py, PyAny>, state: &Bound<'py, StreamState>) -> PyResult<Now<Bound<'py, PyAny>>> {
    if is_closed(stream)? {
        return Err(originals::anyio_error(stream.py(), "ClosedResourceError"));
    }
    receive_now(state)
}

struct ReceiveNowait;

impl Method<0> for ReceiveNowait {
    type Class = PyAny;
    const NAME: &'static CStr = c"receive_nowait";
    const TEXT: &'static str = "MemoryObjectReceiveStream.receive_nowait";
    const DOC: &'static CStr = c"receive_nowait($self)\n--\n\nReceive the next item if it can be done without waiting.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let Some(state) = state_of(slf)? else {
            return originals::original(slf, Self::TEXT, &[]).map(Bound::unbind);
        };
        match try_receive(slf, &state)? {
            Now::Done(item) => Ok(item.unbind()),
            Now::WouldBlock => Err(originals::anyio_error(slf.py(), "WouldBlock")),
        }
    }
}

struct ReceiveMethod;

impl Method<0> for ReceiveMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"receive";
    const TEXT: &'static str = "MemoryObjectReceiveStream.receive";
    const DOC: &'static CStr = c"receive($self)\n--\n\nReceive the next item.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), Self::TEXT, Receive::new(slf))
    }
}

struct Next;

impl Method<0> for Next {
    type Class = PyAny;
    const NAME: &'static CStr = c"__anext__";
    const TEXT: &'static str = "UnreliableObjectReceiveStream.__anext__";
    const DOC: &'static CStr = c"__anext__($self)\n--\n\nReceive the next item, or end the iteration.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if CLASS.is_exact(slf) {
            let receive = slf.getattr(pyo3::intern!(py, "receive"))?;
            let function = receive.getattr_opt(pyo3::intern!(py, "__func__"))?;
            if function.is_some_and(|function| RECEIVE.is(&function)) {
                return coroutine::spawn(py, Self::TEXT, Iteration(Receive::new(slf)));
            }
        }
        originals::original(slf, Self::TEXT, &[]).map(Bound::unbind)
    }
}

/// The body of `__anext__`.
struct Iteration(Receive);

impl Body for Iteration {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        self.0.resume(py, input).map_err(|error| end_of_iteration(py, error))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        self.0.traverse(visitor);
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        self.0.awaiting()
    }
}

/// `except EndOfStream: raise StopAsyncIteration from None`.
#[cold]
fn end_of_iteration(py: Python<'_>, error: PyErr) -> PyErr {
    match originals::in_backend(py, "EndOfStream") {
        Ok(class) if error.is_instance(py, &class) => {
            originals::from_none(py, &error, || ferrio_cpython::error::<PyStopAsyncIteration>(()))
        }
        Ok(_) => error,
        Err(other) => other,
    }
}

/// The body of `receive`.
struct Receive {
    stream: OwnedRef,
    stage: Stage,
}

enum Stage {
    New,
    /// Lets the other tasks run first; with the task that receives.
    Turn(OwnedRef<StreamState>, OwnedRef),
    /// Waits for the item.
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

impl Receive {
    fn new(stream: &Bound<'_, PyAny>) -> Self {
        Self { stream: OwnedRef::of(stream), stage: Stage::New }
    }

    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let stream = self.stream.bind(py);
        if let Some((_, task)) = running_task(py)?.filter(|_| CLASS.is_exact(stream))
            && let Some(state) = state_of(stream)?
        {
            self.stage = Stage::Turn(OwnedRef::of(&state), task.into());
            return Ok(Step::Yielded(nothing(py)));
        }
        let (awaiting, step) = originals::await_original(stream, ReceiveMethod::TEXT, &[])?;
        self.stage = Stage::Theirs(awaiting);
        Ok(step)
    }

    /// Receives an item, or begins to wait.
    #[inline]
    fn receive<'py>(&mut self, state: &Bound<'py, StreamState>, task: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
        if let Now::Done(item) = try_receive(self.stream.bind(state.py()), state)? {
            return Ok(Step::Returned(item));
        }
        self.park(state, task)
    }

    fn park<'py>(&mut self, state: &Bound<'py, StreamState>, task: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
        let py = state.py();
        let blocked = Blocked::now(py);
        let space = BoxSpace::new(py)?;
        let (waiting, mut awaiting) = Waiting::receiver(task)?;
        add_waiter(self.stream.bind(py), waiting.as_any())?;
        state.get().park(Side::Receivers, &waiting)?;
        let step = awaiting.resume(py, Ok(nothing(py)));
        if step.is_err() {
            return self.leave(state, &waiting, step, &blocked);
        }
        let place = Place { state: OwnedRef::of(state), waiting: OwnedRef::of(&waiting), awaiting, blocked };
        self.stage = Stage::Waiting(space.fill(place));
        step
    }

    /// Ends the wait, which returned or raised `outcome`.
    fn leave<'py>(
        &self,
        state: &Bound<'py, StreamState>,
        waiting: &Bound<'py, Waiting>,
        outcome: PyResult<Step<'py>>,
        blocked: &Blocked,
    ) -> PyResult<Step<'py>> {
        let py = state.py();
        let stream = self.stream.bind(py);
        // Whoever gave it an item took it out.
        state.get().remove(Side::Receivers, waiting.as_any())?;
        let waiters = stream.getattr(pyo3::intern!(py, "_waiters"))?;
        match waiters.cast_exact::<PySet>() {
            Ok(waiters) if waiters.discard(waiting)? => {}
            _ if waiters.is_none() => {}
            _ => waiters.call_method1(pyo3::intern!(py, "remove"), (waiting,)).map(drop)?,
        }
        if let Err(error) = outcome {
            return Err(originals::with_context(py, error, || blocked.error(py)));
        }
        if let Some(item) = waiting.get().item(py) {
            return Ok(Step::Returned(item));
        }
        let name = if is_closed(stream)? { "ClosedResourceError" } else { "EndOfStream" };
        Err(handling(py, &blocked.error(py), || {
            originals::from_none(py, &normalized(py, no_item()), || originals::anyio_error(py, name))
        }))
    }
}

impl Body for Receive {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {
                input?;
                self.begin(py)
            }
            Stage::Turn(state, task) => {
                input?;
                let (state, task) = (state.bind(py).clone(), task.bind(py).clone());
                self.receive(&state, &task)
            }
            Stage::Waiting(place) => {
                let outcome = place.awaiting.resume(py, input);
                if let Ok(Step::Yielded(_)) = outcome {
                    return outcome;
                }
                let (state, waiting) = (place.state.bind(py).clone(), place.waiting.bind(py).clone());
                let blocked = std::mem::take(&mut place.blocked);
                self.leave(&state, &waiting, outcome, &blocked)
            }
            Stage::Theirs(awaiting) => awaiting.resume(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.stream);
        match &self.stage {
            Stage::New => {}
            Stage::Turn(state, task) => {
                visitor.show_owned(state);
                visitor.show_owned(task);
            }
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
