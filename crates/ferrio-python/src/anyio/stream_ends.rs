//! What ends the use of a memory object stream: `close` of both ends, their `with` blocks, and `__del__`.

use std::ffi::CStr;

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PySet};

use super::memory_stream::{is_closed, state_of};
use super::originals::{self, Methods, nothing};
use super::stream_state::{Side, StreamState};
use super::stream_waits::wake;

pub(super) fn replace_of_sender(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, CloseSender>()?;
    methods.replace::<0, EnterSender>()?;
    methods.replace::<3, ExitSender>()?;
    methods.replace::<0, DeleteSender>()
}

pub(super) fn replace_of_receiver(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, CloseReceiver>()?;
    methods.replace::<0, EnterReceiver>()?;
    methods.replace::<3, ExitReceiver>()?;
    methods.replace::<0, DeleteReceiver>()
}

macro_rules! ends {
    ($class:literal, $close:ident, $enter:ident, $exit:ident, $delete:ident, $body:expr) => {
        struct $close;

        impl Method<0> for $close {
            type Class = PyAny;
            const NAME: &'static CStr = c"close";
            const TEXT: &'static str = concat!($class, ".close");
            const DOC: &'static CStr = c"close($self)\n--\n\nClose the stream.";
            const ARGUMENTS: [&'static str; 0] = [];

            fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
                let Some(state) = state_of(slf)? else {
                    return originals::original(slf, Self::TEXT, &[]).map(Bound::unbind);
                };
                if !is_closed(slf)? {
                    slf.setattr(pyo3::intern!(slf.py(), "_closed"), PyBool::new(slf.py(), true))?;
                    $body(slf, &state)?;
                }
                Ok(slf.py().None())
            }
        }

        struct $enter;

        impl Method<0> for $enter {
            type Class = PyAny;
            const NAME: &'static CStr = c"__enter__";
            const TEXT: &'static str = concat!($class, ".__enter__");
            const DOC: &'static CStr = c"__enter__($self)\n--\n\nReturn the stream.";
            const ARGUMENTS: [&'static str; 0] = [];

            fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
                Ok(slf.clone().unbind())
            }
        }

        struct $exit;

        impl Method<3> for $exit {
            type Class = PyAny;
            const NAME: &'static CStr = c"__exit__";
            const TEXT: &'static str = concat!($class, ".__exit__");
            const DOC: &'static CStr = c"__exit__($self, exc_type, exc_val, exc_tb)\n--\n\nClose the stream.";
            const ARGUMENTS: [&'static str; 3] = ["exc_type", "exc_val", "exc_tb"];

            fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 3]) -> PyResult<Py<PyAny>> {
                slf.call_method0(pyo3::intern!(slf.py(), "close"))?;
                Ok(slf.py().None())
            }
        }

        struct $delete;

        impl Method<0> for $delete {
            type Class = PyAny;
            const NAME: &'static CStr = c"__del__";
            const TEXT: &'static str = concat!($class, ".__del__");
            const DOC: &'static CStr = c"__del__($self)\n--\n\nWarn unless the stream is closed.";
            const ARGUMENTS: [&'static str; 0] = [];

            fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
                if is_closed(slf)? {
                    return Ok(slf.py().None());
                }
                originals::original(slf, Self::TEXT, &[]).map(Bound::unbind)
            }
        }
    };
}

ends!("MemoryObjectSendStream", CloseSender, EnterSender, ExitSender, DeleteSender, close_sender);
ends!("MemoryObjectReceiveStream", CloseReceiver, EnterReceiver, ExitReceiver, DeleteReceiver, close_receiver);

fn close_sender<'py>(stream: &Bound<'py, PyAny>, state: &Bound<'py, StreamState>) -> PyResult<()> {
    let py = stream.py();
    if state.get().close_one(py, Side::Senders) {
        let waits = state.get().waits(py, Side::Receivers)?;
        for waiting in &waits {
            state.get().remove(Side::Receivers, waiting)?;
        }
        waits.iter().try_for_each(wake)?;
    }
    let waiters = stream.getattr(pyo3::intern!(py, "_waiters"))?;
    if waiters.is_none() {
        return Ok(());
    }
    let withdrawn = PySet::empty(py)?;
    for waiting in memory::collected(waiters.try_iter()?)? {
        if state.get().remove(Side::Senders, &waiting)? {
            withdrawn.add(&waiting)?;
        }
        wake(&waiting)?;
    }
    // A wait that remains says that its item was never delivered.
    stream.setattr(pyo3::intern!(py, "_waiters"), withdrawn)
}

fn close_receiver<'py>(stream: &Bound<'py, PyAny>, state: &Bound<'py, StreamState>) -> PyResult<()> {
    let py = stream.py();
    if state.get().close_one(py, Side::Receivers) {
        state.get().waits(py, Side::Senders)?.iter().try_for_each(wake)?;
    }
    let waiters = stream.getattr(pyo3::intern!(py, "_waiters"))?;
    if waiters.is_none() {
        return Ok(());
    }
    for waiting in memory::collected(waiters.try_iter()?)? {
        state.get().remove(Side::Receivers, &waiting)?;
        wake(&waiting)?;
    }
    stream.setattr(pyo3::intern!(py, "_waiters"), nothing(py))
}
