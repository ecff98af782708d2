//! Runs a handle in its turn and reports an exception of its callback: asyncio's `Handle._run`.

use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PySystemExit};
use pyo3::ffi;
use pyo3::prelude::*;

use super::{Arity, HandleRef, Kind, argument_tuple, format_callback_source};
use crate::capi::context;
use crate::capi::memory;
use crate::capi::raise::handling;
use crate::objects::future::FutureRef;
use crate::objects::loop_base::LoopBase;

impl HandleRef {
    /// The future and its result, if the callback is `set_result` of a ferrio future on a ferrio loop: that is done
    /// without a call, and no code can observe in which context.
    #[inline]
    fn future_to_finish<'a>(&'a self, py: Python<'a>) -> Option<(FutureRef<'a>, Bound<'a, PyAny>)> {
        let body = self.body();
        let (Arity::One, Some(callback), Some(result)) = (body.arity, &body.callback, &body.arguments) else {
            return None;
        };
        Some((FutureRef::of_set_result(callback.bind(py))?, result.bind(py).clone()))
    }

    /// Whether it does nothing but finish a ferrio future.
    #[inline]
    pub(crate) fn only_finishes_future(&self, py: Python<'_>) -> bool {
        self.future_to_finish(py).is_some()
    }

    /// Calls the callback in its context. An exception goes to the loop's exception handler; `SystemExit` and
    /// `KeyboardInterrupt` are returned.
    #[inline]
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<()> {
        if let Some((future, result)) = self.future_to_finish(py) {
            return future.finish(result).or_else(|error| self.report_finish(py, error));
        }
        let object = self.body();
        if let Some(action) = object.action {
            return self.fire(py, action);
        }
        let (Some(callback), Some(context)) = (&object.callback, &object.context) else {
            return Ok(());
        };
        // The callback may cancel this handle, so this function holds its own references to what it uses below.
        let callback = callback.bind(py).clone();
        let context =
            if object.context_is_shared { self.own_context(py, context.bind(py))? } else { context.bind(py).clone() };
        let arguments = object.arguments.as_ref().map(|arguments| arguments.bind(py).clone());
        let arity = object.arity;
        let shared = object.kind == Kind::FromThread;
        if shared {
            self.update(py, |body| body.running_in = crate::thread_identifier(py));
        }
        let outcome = context::run_in(py, &context, || call(py, &callback, arguments.as_ref(), arity));
        if shared {
            self.update(py, |body| body.running_in = 0);
        }
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => {
                self.keep_context(py, context);
                self.report(py, error, &callback, arguments.as_ref(), arity)
            }
        }
    }

    /// Waits while another thread runs the callback, as the lock of asyncio's `_ThreadSafeHandle` does.
    pub(crate) fn wait_until_idle(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let running_in = self.body().running_in;
            if running_in == 0 || running_in == crate::thread_identifier(py) {
                return Ok(());
            }
            #[expect(clippy::disallowed_methods, reason = "the other thread's callback cannot tell us when it ends")]
            py.detach(|| std::thread::sleep(std::time::Duration::from_millis(1)));
            py.check_signals()?;
        }
    }

    /// A copy of the shared context; the handle keeps it if it has other references, through which it could be read
    /// later.
    #[inline]
    fn own_context<'py>(&self, py: Python<'py>, shared: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let own = context::copy(shared)?;
        if self.is_shared() {
            self.keep_context(py, own.clone());
        }
        Ok(own)
    }

    fn keep_context(&self, py: Python<'_>, context: Bound<'_, PyAny>) {
        let before = self.update(py, |body| {
            body.context_is_shared = false;
            body.context.replace(context.unbind())
        });
        drop(before.map(|context| context.into_bound(py)));
    }

    /// The context that the callback runs in, as shown to users.
    pub(crate) fn shown_context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let context = self.body().context.as_ref().map(|context| context.bind(py).clone());
        match context {
            Some(shared) if self.body().context_is_shared => {
                let own = context::copy(&shared)?;
                self.keep_context(py, own.clone());
                Ok(Some(own))
            }
            other => Ok(other),
        }
    }

    #[cold]
    fn report_finish(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if let Some(owner) = self.body().owner.as_ref().map(|owner| owner.bind(py).clone()) {
            LoopBase::sync_or_report(&owner)?;
        }
        self.report_error(py, error)
    }

    /// Reports `error` as if the callback had raised it.
    ///
    /// # Errors
    /// `SystemExit`, `KeyboardInterrupt` and any exception that escapes from the exception handler.
    #[cold]
    pub fn report_error(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        let (callback, arguments, arity) = {
            let body = self.body();
            (
                body.callback.as_ref().map(|owned| owned.bind(py).clone()),
                body.arguments.as_ref().map(|owned| owned.bind(py).clone()),
                body.arity,
            )
        };
        let callback = callback.unwrap_or_else(|| py.None().into_bound(py));
        self.report(py, error, &callback, arguments.as_ref(), arity)
    }

    #[cold]
    pub(super) fn report(
        &self,
        py: Python<'_>,
        error: PyErr,
        callback: &Bound<'_, PyAny>,
        arguments: Option<&Bound<'_, PyAny>>,
        arity: Arity,
    ) -> PyResult<()> {
        if error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py) {
            return Err(error);
        }
        let Some(owner) = self.body().owner.as_ref().map(|owner| owner.bind(py).clone()) else {
            return Err(error);
        };
        if error.is_instance_of::<PyMemoryError>(py) {
            owner.get().stop_in_place_of(py, callback);
        }
        let report = || {
            // asyncio formats what the handle holds now: a callback that cancelled its own handle shows as None.
            let (shown, shown_arguments) = match self.body().callback {
                Some(_) => (callback.clone(), argument_tuple(py, arguments, arity)?.into_any()),
                None => (py.None().into_bound(py), py.None().into_bound(py)),
            };
            let source = format_callback_source(py, &shown, &shown_arguments, owner.get().debug.get())?;
            let context = memory::dict(py)?;
            context.set_item(crate::intern!(py, "message"), memory::Text(format!("Exception in callback {source}")))?;
            context.set_item(crate::intern!(py, "exception"), error.clone_ref(py).into_value(py))?;
            context.set_item(crate::intern!(py, "handle"), self.bind(py))?;
            if let Some(traceback) = self.source_traceback(py) {
                context.set_item(crate::intern!(py, "source_traceback"), traceback)?;
            }
            owner.call_method1(crate::intern!(py, "call_exception_handler"), (context,)).map(drop)
        };
        handling(py, &error, report)
    }
}

#[inline]
fn call<'py>(
    py: Python<'py>,
    callback: &Bound<'py, PyAny>,
    arguments: Option<&Bound<'py, PyAny>>,
    arity: Arity,
) -> PyResult<Bound<'py, PyAny>> {
    let result = match (arity, arguments) {
        (Arity::One, Some(argument)) => {
            let mut stack = [std::ptr::null_mut(), argument.as_ptr()];
            let first = &raw mut stack[1];
            // SAFETY: before the argument there is the spare slot that PY_VECTORCALL_ARGUMENTS_OFFSET promises; all
            // objects are alive.
            unsafe {
                ffi::PyObject_Vectorcall(
                    callback.as_ptr(),
                    first,
                    1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
                    std::ptr::null_mut(),
                )
            }
        }
        // SAFETY: `arguments` is a tuple by the meaning of `Arity::Many`.
        (Arity::Many, Some(tuple)) => unsafe {
            ffi::PyObject_Call(callback.as_ptr(), tuple.as_ptr(), std::ptr::null_mut())
        },
        // SAFETY: a live callable object or one that raises TypeError.
        (Arity::Zero, _) | (_, None) => unsafe { ffi::PyObject_CallNoArgs(callback.as_ptr()) },
    };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}
