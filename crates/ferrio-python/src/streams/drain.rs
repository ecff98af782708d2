//! The bodies of `drain`, `_drain_helper` and `wait_closed`.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::exceptions::PyConnectionResetError;
use pyo3::prelude::*;

use super::feed;
use super::protocol::{self, StreamReaderProtocol};
use super::reader::StreamReader;
use super::writer::StreamWriter;
use crate::transports::socket::joined_writes;

/// The body of `_drain_helper`.
pub(super) struct DrainHelper {
    protocol: OwnedRef<StreamReaderProtocol>,
    waiting: Option<(Awaiting, OwnedRef)>,
}

impl DrainHelper {
    pub(super) fn new(protocol: &Bound<'_, StreamReaderProtocol>) -> Self {
        Self { protocol: OwnedRef::of(protocol), waiting: None }
    }
}

impl Body for DrainHelper {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let this = self.protocol.bind(py).get();
        let Some((awaiting, waiter)) = &mut self.waiting else {
            let (lost, paused) = this.state.with(py, |state| (state.lost, state.paused));
            if lost {
                return Err(ferrio_cpython::error::<PyConnectionResetError>("Connection lost"));
            }
            if !paused {
                return Ok(Step::Returned(py.None().into_bound(py)));
            }
            let waiter = this.owner(py).call_method0(pyo3::intern!(py, "create_future"))?;
            let mut awaiting = Awaiting::new(&waiter)?;
            let listed = OwnedRef::from(waiter.clone());
            this.state.with(py, |state| state.drains.push(listed));
            let step = awaiting.resume(py, input);
            self.waiting = Some((awaiting, waiter.into()));
            return step;
        };
        let step = awaiting.resume(py, input);
        if let Ok(Step::Yielded(_)) = step {
            return step;
        }
        let own = this.state.with(py, |state| {
            let place = state.drains.iter().position(|listed| listed.bind(py).is(waiter.bind(py)));
            place.map(|place| state.drains.remove(place))
        });
        drop(own);
        step.map(|_| Step::Returned(py.None().into_bound(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.protocol);
        if let Some((awaiting, waiter)) = &self.waiting {
            awaiting.traverse(visitor);
            visitor.show_owned(waiter);
        }
    }
}

/// The body of `drain`.
pub(super) struct Drain {
    writer: OwnedRef<StreamWriter>,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits for the next turn, in which a closing transport calls `connection_lost`.
    Turn,
    Helper(Awaiting),
}

impl Drain {
    #[inline]
    pub(super) fn new(writer: &Bound<'_, StreamWriter>) -> Self {
        Self { writer: OwnedRef::of(writer), stage: Stage::New }
    }

    /// Whether `drain` of an open connection returns without waiting.
    #[inline]
    fn is_done(protocol: &Bound<'_, PyAny>) -> bool {
        protocol::is_unpatched(protocol)
            && protocol
                .cast::<StreamReaderProtocol>()
                .is_ok_and(|own| own.get().state.with(protocol.py(), |state| !state.lost && !state.paused))
    }

    fn help<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let protocol = self.writer.bind(py).get().protocol(py);
        if Self::is_done(&protocol) {
            return Ok(Step::Returned(py.None().into_bound(py)));
        }
        let helper = protocol.call_method0(pyo3::intern!(py, "_drain_helper"))?;
        let mut awaiting = Awaiting::new(&helper)?;
        let step = awaiting.resume(py, Ok(py.None().into_bound(py)));
        self.stage = Stage::Helper(awaiting);
        without_value(py, step)
    }
}

/// Replaces the result of a coroutine by None.
fn without_value<'py>(py: Python<'py>, step: PyResult<Step<'py>>) -> PyResult<Step<'py>> {
    match step? {
        Step::Returned(_) => Ok(Step::Returned(py.None().into_bound(py))),
        yielded @ Step::Yielded(_) => Ok(yielded),
    }
}

impl Body for Drain {
    const OWNS_PY: bool = false;

    #[inline]
    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let this = self.writer.bind(py).get();
        let has_failed = this.reader(py).is_some_and(|reader| {
            reader.cast_exact::<StreamReader>().map_or(true, |own| own.get().exception(py).is_some())
        });
        let transport = this.transport(py);
        let is_open = feed::own(&transport).is_some_and(|own| own.get().is_open_with_nothing_pending(py));
        let is_done = !has_failed && is_open && Self::is_done(&this.protocol(py));
        Ok(is_done.then(|| py.None().into_bound(py)))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {}
            Stage::Turn => {
                input?;
                return self.help(py);
            }
            Stage::Helper(awaiting) => {
                let step = awaiting.resume(py, input);
                return without_value(py, step);
            }
        }
        let this = self.writer.bind(py).get();
        joined_writes::send_below(&this.transport(py))?;
        if let Some(reader) = this.reader(py) {
            let error = if let Ok(own) = reader.cast_exact::<StreamReader>() {
                own.get().exception(py)
            } else {
                let error = reader.call_method0(pyo3::intern!(py, "exception"))?;
                (!error.is_none()).then_some(error)
            };
            if let Some(error) = error {
                return Err(raised(&error));
            }
        }
        let transport = this.transport(py);
        let is_closing = match feed::own(&transport) {
            Some(own) => own.get().is_closing_now(py),
            None => transport.call_method0(pyo3::intern!(py, "is_closing"))?.is_truthy()?,
        };
        if is_closing {
            self.stage = Stage::Turn;
            return Ok(Step::Yielded(py.None().into_bound(py)));
        }
        self.help(py)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.writer);
        if let Stage::Helper(awaiting) = &self.stage {
            awaiting.traverse(visitor);
        }
    }
}

/// The body of `wait_closed`.
pub(super) struct WaitClosed {
    writer: OwnedRef<StreamWriter>,
    waiting: Option<Awaiting>,
}

impl WaitClosed {
    pub(super) fn new(writer: &Bound<'_, StreamWriter>) -> Self {
        Self { writer: OwnedRef::of(writer), waiting: None }
    }
}

impl Body for WaitClosed {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let awaiting = if let Some(awaiting) = &mut self.waiting {
            awaiting
        } else {
            let writer = self.writer.bind(py);
            let waiter = writer.get().protocol(py).call_method1(name!("_get_close_waiter"), (writer,))?;
            self.waiting.insert(Awaiting::new(&waiter)?)
        };
        let step = awaiting.resume(py, input);
        without_value(py, step)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.writer);
        self.waiting.iter().for_each(|waiting| waiting.traverse(visitor));
    }
}
