//! The raw entry points `call_soon`, `call_soon_threadsafe`, `call_later`, `call_at` and `time`.
//!
//! They are `METH_FASTCALL | METH_KEYWORDS` descriptors set on the loop's type: a third cheaper than generated ones
//! (benchmark `call_soon_chain`). Checks, texts and debug behaviour are those of asyncio's `BaseEventLoop`.

use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyTuple, PyType};

use crate::capi::arguments;
use crate::capi::context;
use crate::capi::heap_type::fastcall_keywords;
use crate::capi::hooks;
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::memory::BoxSpace;
use crate::capi::trampoline::trampoline_attached;
use crate::objects::coroutine_check::is_coroutine;
use crate::objects::handle::{Arity, HandleRef, Kind, Parts, argument_tuple};
use crate::objects::loop_base::{LoopBase, overrides};
use crate::objects::runnable::Runnable;

type Object = *mut ffi::PyObject;

/// Adds the methods to `class`, which is `LoopBase` or a subtype.
///
/// # Errors
/// `MemoryError`.
pub fn add_methods(class: &Bound<'_, PyType>) -> PyResult<()> {
    let methods = [
        fastcall_keywords(c"call_soon", call_soon, c"call_soon($self, callback, *args, context=None)\n--\n\nArrange for a callback to be called in the next turn; gives its Handle."),
        fastcall_keywords(c"call_soon_threadsafe", call_soon_threadsafe, c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\nLike call_soon(), from any thread; wakes the loop."),
        fastcall_keywords(c"call_later", call_later, c"call_later($self, delay, callback, *args, context=None)\n--\n\nArrange for a callback to be called after `delay` seconds; gives its TimerHandle."),
        fastcall_keywords(c"call_at", call_at, c"call_at($self, when, callback, *args, context=None)\n--\n\nArrange for a callback to be called at `when`, in seconds of loop.time(); gives its TimerHandle."),
    ];
    for definition in methods {
        add_method(class, definition)?;
    }
    Ok(())
}

/// Adds `time` to `class`.
///
/// # Errors
/// `MemoryError`.
pub fn add_clock(class: &Bound<'_, PyType>) -> PyResult<()> {
    let definition = ffi::PyMethodDef {
        ml_name: c"time".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: time },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: c"time($self, /)\n--\n\nSeconds of the monotonic clock, as time.monotonic() gives them.".as_ptr(),
    };
    add_method(class, definition)
}

pub(crate) fn add_method(class: &Bound<'_, PyType>, definition: ffi::PyMethodDef) -> PyResult<()> {
    // SAFETY: the name is a static C string.
    let name = unsafe { std::ffi::CStr::from_ptr(definition.ml_name) };
    class.setattr(name.to_string_lossy().as_ref(), method_descriptor(class, definition)?)
}

/// A method of `class`, which it is not added to.
pub(crate) fn method_descriptor<'py>(
    class: &Bound<'py, PyType>,
    definition: ffi::PyMethodDef,
) -> PyResult<Bound<'py, PyAny>> {
    // A type keeps its definitions for as long as the process lives.
    let definition: &'static mut ffi::PyMethodDef = Box::leak(Box::new(definition));
    // SAFETY: a complete static definition and a live type.
    let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(class.py(), descriptor) }
}

unsafe extern "C" fn time(slf: Object, _: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the method descriptor checked that `self` is a LoopBase; the caller holds a reference.
        let owner = unsafe { LoopBase::from_borrowed(py, slf) };
        if owner.get().is_simulated() {
            return simulated_time(&owner);
        }
        // The result of a replaced `time.monotonic` is returned unchanged, as in asyncio.
        match hooks::MONOTONIC.replacement(py)? {
            Some(function) => function.call0().map(Bound::unbind),
            None => Ok(PyFloat::new(py, crate::objects::loop_base::monotonic_seconds()).into_any().unbind()),
        }
    })
}

#[cold]
fn simulated_time(owner: &Bound<'_, LoopBase>) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    match owner.get().simulation(py) {
        Some((simulation, seams)) => Ok(PyFloat::new(py, (seams.read)(&simulation, owner)?).into_any().unbind()),
        None => Ok(PyFloat::new(py, crate::objects::loop_base::monotonic_seconds()).into_any().unbind()),
    }
}

/// Defines the C entry of a scheduling method whose Rust body takes the loop and its arguments.
macro_rules! entries {
    ($($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(slf: Object, stack: *const Object, count: isize, keywords: Object) -> Object {
            trampoline_attached(|py| {
                // SAFETY: the method descriptor checked that `self` is a LoopBase; the caller holds a reference.
                let owner = unsafe { LoopBase::from_borrowed(py, slf) };
                // SAFETY: the arguments of this very vectorcall.
                let call = unsafe { Call::new(py, stringify!($name), stack, count, keywords) };
                $body(&owner, call)
            })
        }
    )*};
}

entries! {
    call_soon = do_call_soon;
    call_soon_threadsafe = do_call_soon_threadsafe;
    call_later = do_call_later;
    call_at = do_call_at;
}

/// The arguments of one vectorcall.
struct Call<'a, 'py> {
    py: Python<'py>,
    method: &'static str,
    positional: &'a [Object],
    keyword_values: &'a [Object],
    keyword_names: Option<Bound<'py, PyTuple>>,
}

/// The parsed arguments of a scheduling method.
struct Request<'py> {
    leading: Option<Bound<'py, PyAny>>,
    callback: Bound<'py, PyAny>,
    arguments: Option<Bound<'py, PyAny>>,
    arity: Arity,
    context: Option<Bound<'py, PyAny>>,
}

impl<'py> Call<'_, 'py> {
    /// # Safety
    /// `stack`, `count` and `keywords` are a vectorcall's arguments, alive for `'a`.
    unsafe fn new(py: Python<'py>, method: &'static str, stack: *const Object, count: isize, keywords: Object) -> Self {
        let positional_count = usize::try_from(count).unwrap_or(0);
        // SAFETY: null or a tuple of names, borrowed from the caller.
        let keyword_names = unsafe { Bound::from_borrowed_ptr_or_opt(py, keywords) }
            // SAFETY: the calling convention makes it a tuple.
            .map(|names| unsafe { names.cast_into_unchecked::<PyTuple>() });
        let total = positional_count + keyword_names.as_ref().map_or(0, PyTupleMethods::len);
        let all: &[Object] = if total == 0 {
            &[]
        } else {
            // SAFETY: a vectorcall's stack holds the positional and then the keyword arguments.
            unsafe { std::slice::from_raw_parts(stack, total) }
        };
        let (positional, keyword_values) = all.split_at(positional_count);
        Self { py, method, positional, keyword_values, keyword_names }
    }

    fn object(&self, pointer: Object) -> Bound<'py, PyAny> {
        // SAFETY: an argument, alive during the call.
        unsafe { Bound::from_borrowed_ptr(self.py, pointer) }
    }

    /// Parses `(leading?, callback, *args, context=None)`; `leading` names the first parameter of timed methods.
    #[inline]
    fn parse(self, leading: Option<&'static str>) -> PyResult<Request<'py>> {
        let (mut first, mut callback, mut context) = (None, None, None);
        let mut remaining = self.positional;
        if leading.is_some()
            && let Some((pointer, tail)) = remaining.split_first()
        {
            first = Some(self.object(*pointer));
            remaining = tail;
        }
        if (leading.is_none() || first.is_some())
            && let Some((pointer, tail)) = remaining.split_first()
        {
            callback = Some(self.object(*pointer));
            remaining = tail;
        }
        if let Some(names) = &self.keyword_names {
            for (name, value) in names.iter().zip(self.keyword_values) {
                let value = self.object(*value);
                let slot = match name.extract::<&str>()? {
                    "context" => &mut context,
                    "callback" => &mut callback,
                    other if Some(other) == leading => &mut first,
                    other => return Err(arguments::unexpected_keyword(self.method, other)),
                };
                if slot.replace(value).is_some() {
                    return Err(arguments::multiple_values(self.method, &name.to_string()));
                }
            }
        }
        if let (Some(name), None) = (leading, &first) {
            return Err(self.missing(name));
        }
        let Some(callback) = callback else {
            return Err(self.missing("callback"));
        };
        let (arguments, arity) = match remaining {
            [] => (None, Arity::Zero),
            [one] => (Some(self.object(*one)), Arity::One),
            many => {
                let tuple = memory::tuple(self.py, many.iter().map(|pointer| self.object(*pointer)))?;
                (Some(tuple.into_any()), Arity::Many)
            }
        };
        let context = context.filter(|context| !context.is_none());
        Ok(Request { leading: first, callback, arguments, arity, context })
    }

    #[cold]
    fn missing(&self, name: &str) -> PyErr {
        crate::capi::raise::error::<PyTypeError>(format!(
            "{}() missing 1 required positional argument: '{name}'",
            self.method
        ))
    }
}

/// Which copy of the context a handle gets. `Shared` is for the kinds of which many handles may be pending at once
/// (benchmarks `call_later_100k`, `threadsafe_flood`); for few handles, a copy of their own costs less than the shared
/// copy plus the copy that each makes when it runs.
#[derive(Clone, Copy)]
enum ContextCopy {
    Own,
    Shared,
}

impl<'py> Request<'py> {
    #[inline]
    fn into_handle(
        self,
        owner: &Bound<'py, LoopBase>,
        kind: Kind,
        when: f64,
        context_copy: ContextCopy,
    ) -> PyResult<HandleRef> {
        let py = owner.py();
        let (context, context_is_shared) = match (self.context, context_copy) {
            (Some(context), _) => (context, false),
            (None, ContextCopy::Own) => (context::copy_current(py)?, false),
            (None, ContextCopy::Shared) => (owner.get().shared_context.current(py)?, true),
        };
        let Self { callback, arguments, arity, .. } = self;
        let parts = Parts { callback, arguments, arity, context, context_is_shared, when, kind };
        HandleRef::new(owner, parts)
    }
}

#[inline]
fn do_call_soon<'py>(owner: &Bound<'py, LoopBase>, call: Call<'_, 'py>) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    let request = call.parse(None)?;
    let base = owner.get();
    base.check_open()?;
    if base.debug.get() {
        check_thread(py, base)?;
        check_callback(&request.callback, "call_soon")?;
    }
    let handle = request.into_handle(owner, Kind::Soon, 0.0, ContextCopy::Own)?;
    base.push(py, Runnable::Handle(handle.clone_ref(py)))?;
    Ok(handle.into_object())
}

fn do_call_soon_threadsafe<'py>(owner: &Bound<'py, LoopBase>, call: Call<'_, 'py>) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    let request = call.parse(None)?;
    let base = owner.get();
    base.check_open()?;
    if base.debug.get() {
        check_callback(&request.callback, "call_soon_threadsafe")?;
    }
    let kind = if imports::thread_safe_handle(py)?.is_some() { Kind::FromThread } else { Kind::Soon };
    let handle = request.into_handle(owner, kind, 0.0, ContextCopy::Shared)?;
    base.push_and_wake(py, Runnable::Handle(handle.clone_ref(py)))?;
    Ok(handle.into_object())
}

fn do_call_later<'py>(owner: &Bound<'py, LoopBase>, call: Call<'_, 'py>) -> PyResult<Py<PyAny>> {
    let request = call.parse(Some("delay"))?;
    let Some(delay) = request.leading.as_ref().filter(|delay| !delay.is_none()) else {
        return Err(crate::capi::raise::error::<PyTypeError>("delay must not be None"));
    };
    let when = match delay.cast_exact::<PyFloat>() {
        Ok(delay) => LoopBase::now_before(owner, delay.value())? + delay.value(),
        Err(_) => after_given(owner, delay)?,
    };
    if owner.get().timers_overridden.get() && overrides(owner, "call_at")? {
        return by_call_at(owner, request, when);
    }
    schedule_at(owner, request, when).map(HandleRef::into_object)
}

/// The time after a delay that is not exactly a float.
fn after_given(owner: &Bound<'_, LoopBase>, delay: &Bound<'_, PyAny>) -> PyResult<f64> {
    // A simulation gets to know a delay that is a whole number; the conversion of any other object would be seen.
    let known = delay.cast_exact::<PyInt>().ok().and_then(|delay| delay.extract().ok()).unwrap_or(f64::NAN);
    PyFloat::new(owner.py(), LoopBase::now_before(owner, known)?).add(delay)?.extract()
}

/// Calls the `call_at` that a subclass overrides: loops with a time of their own override it.
#[cold]
fn by_call_at<'py>(owner: &Bound<'py, LoopBase>, request: Request<'py>, when: f64) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    let mut arguments = vec![PyFloat::new(py, when).into_any(), request.callback];
    arguments.extend(argument_tuple(py, request.arguments.as_ref(), request.arity)?);
    let keywords = memory::dict(py)?;
    keywords.set_item(name!("context"), request.context)?;
    let handle = owner.call_method(name!("call_at"), memory::tuple(py, arguments)?, Some(&keywords))?;
    Ok(handle.unbind())
}

fn do_call_at<'py>(owner: &Bound<'py, LoopBase>, call: Call<'_, 'py>) -> PyResult<Py<PyAny>> {
    let request = call.parse(Some("when"))?;
    let Some(when) = request.leading.as_ref().filter(|when| !when.is_none()) else {
        return Err(crate::capi::raise::error::<PyTypeError>("when cannot be None"));
    };
    match when.cast_exact::<PyFloat>() {
        Ok(when) => {
            let when = when.value();
            schedule_at(owner, request, when).map(HandleRef::into_object)
        }
        Err(_) => schedule_at_given(owner, request),
    }
}

/// At a time that is not exactly a float, which the handle shows as it was given.
#[cold]
fn schedule_at_given<'py>(owner: &Bound<'py, LoopBase>, request: Request<'py>) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    let given = request.leading.clone().unwrap_or_else(|| py.None().into_bound(py));
    let space = BoxSpace::new(py)?;
    let handle = schedule_at(owner, request, seconds(&given)?)?;
    handle.keep_given_time(py, given.unbind(), space);
    Ok(handle.into_object())
}

/// A time as the loop's float of seconds: a number beyond the range of floats comes before or after all other times.
///
/// # Errors
/// `TypeError` when `when` is not a number.
pub fn seconds(when: &Bound<'_, PyAny>) -> PyResult<f64> {
    match when.extract::<f64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(when.py()) => {
            Ok(if when.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY })
        }
        outcome => outcome,
    }
}

#[inline]
fn schedule_at<'py>(owner: &Bound<'py, LoopBase>, request: Request<'py>, when: f64) -> PyResult<HandleRef> {
    let py = owner.py();
    let base = owner.get();
    base.check_open()?;
    if base.debug.get() {
        check_thread(py, base)?;
        check_callback(&request.callback, "call_at")?;
    }
    let handle = request.into_handle(owner, Kind::Timer, when, ContextCopy::Shared)?;
    base.arm(py, handle.clone_ref(py))?;
    Ok(handle)
}

/// asyncio's `_check_thread`.
#[cold]
pub(crate) fn check_thread(py: Python<'_>, base: &LoopBase) -> PyResult<()> {
    if base.thread().is_some_and(|running| running != crate::thread_identifier(py)) {
        return Err(crate::capi::raise::error::<PyRuntimeError>(
            "Non-thread-safe operation invoked on an event loop other than the current one",
        ));
    }
    Ok(())
}

/// asyncio's `_check_callback`, for debug mode.
///
/// # Errors
/// `TypeError` for coroutines, coroutine functions and objects that cannot be called.
#[cold]
pub fn check_callback(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    if is_coroutine(callback)? || is_coroutine_function(callback)? {
        return Err(crate::capi::raise::error::<PyTypeError>(format!("coroutines cannot be used with {method}()")));
    }
    if !callback.is_callable() {
        let text = format!("a callable object was expected by {method}(), got {}", callback.repr()?);
        return Err(crate::capi::raise::error::<PyTypeError>(text));
    }
    Ok(())
}

/// Whether asyncio takes `object` for a coroutine function.
///
/// # Errors
/// Any exception that reading its attributes raises.
pub fn is_coroutine_function(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    imports::iscoroutinefunction(object.py())?.call1((object,))?.is_truthy()
}
