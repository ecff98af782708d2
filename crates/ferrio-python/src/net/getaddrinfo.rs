//! Name lookups: `getaddrinfo` and `getnameinfo`.
//!
//! Lookups run in the default executor, or in threads of their own while a program's jobs occupy that, by the current
//! functions of the socket module, which programs may replace. A numeric host needs no lookup, so the same function is
//! called directly; the answer is the same, IPv6 zones included.

use std::net::{Ipv4Addr, Ipv6Addr};

use ferrio_cpython::objects::create_task;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyTuple};

use crate::common::async_block::{Channel, Coroutine};
use crate::common::imports;
use crate::event_loop::{Loop, base, executors};
use crate::locks::optional_argument::Argument;
use crate::net::resolve::Hints;
use crate::threads::job::Call;

/// The arguments of a `getaddrinfo` call.
struct Lookup {
    host: Py<PyAny>,
    port: Py<PyAny>,
    hints: Hints,
}

#[pymethods]
impl Loop {
    /// Like `socket.getaddrinfo()`, without blocking the loop.
    #[pyo3(
        signature = (host, port, *, family=Argument(None), r#type=Argument(None), proto=Argument(None), flags=Argument(None)),
        text_signature = "($self, host, port, *, family=0, type=0, proto=0, flags=0)"
    )]
    fn getaddrinfo(
        slf: &Bound<'_, Self>,
        host: Py<PyAny>,
        port: Py<PyAny>,
        family: Argument<'_>,
        r#type: Argument<'_>,
        proto: Argument<'_>,
        flags: Argument<'_>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let hints = Hints {
            family: or_zero(py, family),
            kind: or_zero(py, r#type),
            proto: or_zero(py, proto),
            flags: or_zero(py, flags),
        };
        let this = slf.clone().unbind();
        let lookup = Lookup { host, port, hints };
        Coroutine::spawn(py, "EventLoop.getaddrinfo", |channel| look_up(this, lookup, channel))
    }

    /// Like `socket.getnameinfo()`, without blocking the loop.
    #[pyo3(signature = (sockaddr, flags=Argument(None)), text_signature = "($self, sockaddr, flags=0)")]
    fn getnameinfo(slf: &Bound<'_, Self>, sockaddr: Py<PyAny>, flags: Argument<'_>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        let flags = or_zero(slf.py(), flags);
        Coroutine::spawn(slf.py(), "EventLoop.getnameinfo", |channel| async move {
            let this = channel.own(this);
            let future = Python::attach(|py| {
                let function = ferrio_cpython::module(py, name!("socket"))?.getattr(name!("getnameinfo"))?;
                in_executor(this.bind(py), (py.None(), function, sockaddr, flags).into_pyobject(py)?)
            })?;
            channel.wait(future).await
        })
    }

    /// The lookup of debug mode, in the executor: it logs the arguments and the duration.
    fn _getaddrinfo_debug<'py>(
        slf: &Bound<'py, Self>,
        host: &Bound<'py, PyAny>,
        port: &Bound<'py, PyAny>,
        family: &Bound<'py, PyAny>,
        r#type: &Bound<'py, PyAny>,
        proto: &Bound<'py, PyAny>,
        flags: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let mut question = format!("{}:{}", host.str()?, port.repr()?);
        for (name, value) in [("family", family), ("type", r#type), ("proto", proto), ("flags", flags)] {
            if value.is_truthy()? {
                question.extend([", ", name, "=", &value.repr()?.to_string_lossy()]);
            }
        }
        let logger = imports::base_events_logger(py)?;
        logger.call_method1(name!("debug"), ("Get address info %s", &question))?;
        let time = || slf.call_method0(pyo3::intern!(py, "time"))?.extract::<f64>();
        let began = time()?;
        let found = ferrio_cpython::module(py, name!("socket"))?
            .call_method1(name!("getaddrinfo"), (host, port, family, r#type, proto, flags))?;
        let took = time()? - began;
        let text = format!("Getting address info {question} took {:.3}ms: {}", took * 1e3, found.repr()?);
        let slow = PyFloat::new(py, took).ge(slf.getattr(name!("slow_callback_duration"))?)?;
        logger.call_method1(if slow { "info" } else { "debug" }, (text,))?;
        Ok(found)
    }
}

async fn look_up(this: Py<Loop>, lookup: Lookup, channel: Channel) -> PyResult<Py<PyAny>> {
    let this = channel.own(this);
    let started = Python::attach(|py| {
        let slf = this.bind(py);
        let Lookup { host, port, hints } = lookup;
        let function = if base(slf).debug.get() {
            slf.getattr(name!("_getaddrinfo_debug"))?
        } else {
            let function = ferrio_cpython::module(py, name!("socket"))?.getattr(name!("getaddrinfo"))?;
            if let Some(known) = answer_numeric(&function, host.bind(py), port.bind(py), &hints)? {
                return Ok(Err(known.unbind()));
            }
            function
        };
        let Hints { family, kind, proto, flags } = hints;
        let arguments = (py.None(), function, host, port, family, kind, proto, flags).into_pyobject(py)?;
        Ok::<_, PyErr>(Ok(in_executor(slf, arguments)?))
    })?;
    match started {
        Ok(future) => channel.wait(future).await,
        Err(known) => Ok(known),
    }
}

/// Calls a lookup function in another thread; `arguments` are those of `run_in_executor`.
fn in_executor(slf: &Bound<'_, Loop>, arguments: Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
    if create_task::EVENT_LOOP.is_exact(slf.as_any()) && !base(slf).patched.get() {
        let function = arguments.get_item(1)?.unbind();
        let call = Call::Plain { function, arguments: arguments.get_slice(2, arguments.len()).unbind() };
        if let Ok(future) = executors::look_up_in_thread(slf, call)? {
            return Ok(future.unbind());
        }
    }
    slf.call_method1(name!("run_in_executor"), arguments).map(Bound::unbind)
}

/// The answer for a host that is already an address; None if the lookup has to run in the executor.
fn answer_numeric<'py>(
    function: &Bound<'py, PyAny>,
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    hints: &Hints,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = host.py();
    let (Ok(text), Ok(flags)) = (host.extract::<&str>(), hints.flags.extract::<i32>(py)) else {
        return Ok(None);
    };
    let unscoped = text.split_once('%').map_or(text, |(address, _)| address);
    let numeric = text.parse::<Ipv4Addr>().is_ok() || unscoped.parse::<Ipv6Addr>().is_ok();
    // A canonical name may require a server, and a replaced function is called in the executor, as in asyncio.
    let canonical = imports::socket_ai_canonname(py)?.extract::<i32>()?;
    if !numeric || flags & canonical != 0 || !is_numeric_port(port) || !function.is(imports::socket_getaddrinfo(py)?) {
        return Ok(None);
    }
    let flags = flags | imports::socket_ai_numerichost(py)?.extract::<i32>()?;
    let answer = function.call1((host, port, &hints.family, &hints.kind, &hints.proto, flags));
    // An error is left to the call with exactly the user's flags.
    Ok(answer.ok())
}

fn is_numeric_port(port: &Bound<'_, PyAny>) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    port.is_none() || port.is_instance_of::<PyInt>() || port.extract::<&str>().is_ok_and(digits)
}

fn or_zero(py: Python<'_>, given: Argument<'_>) -> Py<PyAny> {
    given.0.map_or_else(|| PyInt::new(py, 0).into_any().unbind(), Bound::unbind)
}
