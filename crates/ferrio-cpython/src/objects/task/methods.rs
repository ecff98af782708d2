//! The Python interface of tasks: methods, attributes, repr; names, texts and results are asyncio's.

use std::ffi::{c_int, c_void};

use pyo3::exceptions::{PyAttributeError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{Parts, TaskRef, types};
use crate::capi::arguments::{Signature, unless_none};
use crate::capi::heap_type::{attribute, fastcall_keywords, method};
use crate::capi::imports;
use crate::capi::owned_ref::OwnedRef;
use crate::capi::trampoline::{trampoline, trampoline_attached, trampoline_status};
use crate::objects::future::{CANCEL, FutureBody, boolean};

type Object = *mut ffi::PyObject;
type Closure = *mut c_void;

pub(super) fn method_table(py: Python<'_>) -> *mut ffi::PyMethodDef {
    let mut methods = vec![
        method(
            c"set_result",
            set_result,
            ffi::METH_O,
            c"set_result($self, result, /)\n--\n\nRefused: a task's result is its coroutine's.",
        ),
        method(
            c"set_exception",
            set_exception,
            ffi::METH_O,
            c"set_exception($self, exception, /)\n--\n\nRefused: a task's exception is its coroutine's.",
        ),
        fastcall_keywords(c"cancel", cancel, c"cancel($self, /, msg=None)\n--\n\nAsk the task to cancel itself."),
        method(
            c"cancelling",
            cancelling,
            ffi::METH_NOARGS,
            c"cancelling($self, /)\n--\n\nHow many requests to cancel are pending.",
        ),
        method(
            c"uncancel",
            uncancel,
            ffi::METH_NOARGS,
            c"uncancel($self, /)\n--\n\nTake one request to cancel back; gives how many are left.",
        ),
        method(c"get_coro", get_coro, ffi::METH_NOARGS, c"get_coro($self, /)\n--\n\nThe coroutine."),
        method(c"get_name", get_name, ffi::METH_NOARGS, c"get_name($self, /)\n--\n\nThe name."),
        method(c"set_name", set_name, ffi::METH_O, c"set_name($self, value, /)\n--\n\nSet the name."),
        fastcall_keywords(
            c"get_stack",
            get_stack,
            c"get_stack($self, /, *, limit=None)\n--\n\n\
              The frames where the coroutine is suspended, or of its exception's traceback.",
        ),
        fastcall_keywords(
            c"print_stack",
            print_stack,
            c"print_stack($self, /, *, limit=None, file=None)\n--\n\n\
              Print what get_stack() gives.",
        ),
    ];
    if py.version_info() >= (3, 12) {
        methods.push(method(
            c"get_context",
            get_context,
            ffi::METH_NOARGS,
            c"get_context($self, /)\n--\n\nThe contextvars.Context the task runs in.",
        ));
    }
    methods.push(ffi::PyMethodDef::zeroed());
    Box::leak(methods.into_boxed_slice()).as_mut_ptr()
}

pub(super) fn attribute_table() -> *mut ffi::PyGetSetDef {
    let attributes = vec![
        attribute(c"_log_destroy_pending", log_destroy_pending, Some(set_log_destroy_pending)),
        attribute(c"_must_cancel", must_cancel, None),
        attribute(c"_coro", coroutine, None),
        attribute(c"_fut_waiter", waiting_for, None),
        ffi::PyGetSetDef::default(),
    ];
    Box::leak(attributes.into_boxed_slice()).as_mut_ptr()
}

/// The task that C code passed in.
///
/// # Safety
/// A live object of our type, and the GIL is held.
unsafe fn borrowed(py: Python<'_>, object: Object) -> TaskRef<'_> {
    // SAFETY: alive, the caller guarantees it.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    // SAFETY: of our type, the caller guarantees it.
    unsafe { TaskRef::new_unchecked(object) }
}

/// Defines C entries whose Rust bodies take the task.
macro_rules! entries {
    ($($name:ident($second:ty) = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, _: $second) -> Object {
            trampoline(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let task = unsafe { borrowed(py, object) };
                $body(&task)
            })
        }
    )*};
}

entries! {
    set_result(Object) = refuse_set_result;
    set_exception(Object) = refuse_set_exception;
    cancelling(Object) = give_cancelling;
    uncancel(Object) = do_uncancel;
    get_coro(Object) = show_coroutine;
    get_name(Object) = give_name;
    get_context(Object) = show_context;
    log_destroy_pending(Closure) = show_log_destroy_pending;
    must_cancel(Closure) = show_must_cancel;
    coroutine(Closure) = show_coroutine;
    waiting_for(Closure) = show_waiting_for;
}

const EAGER: Signature<5> =
    Signature { method: "Task", names: ["coro", "loop", "name", "context", "eager_start"], positional: 1, required: 1 };
const PLAIN: Signature<4> =
    Signature { method: "Task", names: ["coro", "loop", "name", "context"], positional: 1, required: 1 };

/// Whether the running Python's `Task` takes `eager_start`.
fn may_start_eagerly(py: Python<'_>) -> bool {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    *CELL.get_or_init(py, || py.version_info() >= (3, 12))
}

/// `Task(...)`, without a tuple and a dictionary of arguments.
pub(super) unsafe extern "C" fn construct(_: Object, stack: *const Object, flags: usize, names: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: only takes a flag out of the number.
        let count = unsafe { ffi::PyVectorcall_NARGS(flags) };
        let arguments = if may_start_eagerly(py) {
            // SAFETY: this very call's arguments.
            unsafe { EAGER.vectorcall(py, stack, count, names) }?
        } else {
            // SAFETY: this very call's arguments.
            let [coroutine, owner, name, context] = unsafe { PLAIN.vectorcall(py, stack, count, names) }?;
            [coroutine, owner, name, context, None]
        };
        let task = types::new_exact(py, FutureBody::default())?;
        initialize(&task, arguments)?;
        Ok(task.object().clone().unbind())
    })
}

fn initialize<'py>(task: &TaskRef<'py>, arguments: [Option<Bound<'py, PyAny>>; 5]) -> PyResult<()> {
    let [coroutine, owner, name, context, eager_start] = arguments;
    let Some(coroutine) = coroutine else { return Ok(()) };
    let eager_start = eager_start.is_some_and(|flag| flag.is_truthy().unwrap_or(false));
    let parts = Parts { coroutine, name: unless_none(name), context: unless_none(context), eager_start };
    task.initialize(unless_none(owner), parts)
}

pub(super) unsafe extern "C" fn init(object: Object, arguments: Object, given: Object) -> c_int {
    trampoline_status(|py| {
        // SAFETY: the interpreter passes an object of our type.
        let task = unsafe { borrowed(py, object) };
        let arguments = if may_start_eagerly(py) {
            // SAFETY: tp_init's arguments.
            unsafe { EAGER.init(py, arguments, given) }?
        } else {
            // SAFETY: tp_init's arguments.
            let [coroutine, owner, name, context] = unsafe { PLAIN.init(py, arguments, given) }?;
            [coroutine, owner, name, context, None]
        };
        initialize(&task, arguments)
    })
}

pub(super) unsafe extern "C" fn repr(object: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let task = unsafe { borrowed(py, object) };
        task.future().check_initialized()?;
        Ok(task.repr()?.unbind())
    })
}

unsafe extern "C" fn cancel(object: Object, stack: *const Object, count: isize, names: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let task = unsafe { borrowed(py, object) };
        // SAFETY: this very call's arguments.
        let [message] = unsafe { CANCEL.vectorcall(py, stack, count, names) }?;
        task.future().check_initialized()?;
        boolean(py, task.cancel(message)?)
    })
}

unsafe extern "C" fn set_name(object: Object, name: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let task = unsafe { borrowed(py, object) };
        // SAFETY: an argument, alive during the call.
        let name = unsafe { Bound::from_borrowed_ptr(py, name) };
        task.set_name(&name)?;
        Ok(py.None())
    })
}

unsafe extern "C" fn get_stack(object: Object, stack: *const Object, count: isize, given: Object) -> Object {
    const SIGNATURE: Signature<1> = Signature { method: "get_stack", names: ["limit"], positional: 0, required: 0 };
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let task = unsafe { borrowed(py, object) };
        // SAFETY: this very call's arguments.
        let [limit] = unsafe { SIGNATURE.vectorcall(py, stack, count, given) }?;
        Ok(imports::task_get_stack(py)?.call1((task.object(), limit))?.unbind())
    })
}

unsafe extern "C" fn print_stack(object: Object, stack: *const Object, count: isize, given: Object) -> Object {
    const SIGNATURE: Signature<2> =
        Signature { method: "print_stack", names: ["limit", "file"], positional: 0, required: 0 };
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let task = unsafe { borrowed(py, object) };
        // SAFETY: this very call's arguments.
        let [limit, file] = unsafe { SIGNATURE.vectorcall(py, stack, count, given) }?;
        Ok(imports::task_print_stack(py)?.call1((task.object(), limit, file))?.unbind())
    })
}

unsafe extern "C" fn set_log_destroy_pending(object: Object, value: Object, _: Closure) -> c_int {
    trampoline_status(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let task = unsafe { borrowed(py, object) };
        // SAFETY: null for deletion, or alive during the call.
        let Some(value) = (unsafe { Bound::from_borrowed_ptr_or_opt(py, value) }) else {
            return Err(crate::capi::raise::error::<PyAttributeError>("cannot delete attribute"));
        };
        let value = value.is_truthy()?;
        task.update(|body| body.log_destroy_pending = value);
        Ok(())
    })
}

fn refuse_set_result(_: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    Err(crate::capi::raise::error::<PyRuntimeError>("Task does not support set_result operation"))
}

fn refuse_set_exception(_: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    Err(crate::capi::raise::error::<PyRuntimeError>("Task does not support set_exception operation"))
}

fn give_cancelling(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    Ok(task.task().cancels_requested.into_pyobject(task.py())?.into_any().unbind())
}

/// In newer releases, taking the last request back also takes back a `CancelledError` that is due.
fn uncancel_takes_all_back(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    let probe = || imports::stock_method_uses(py, "asyncio.tasks", "_PyTask", "uncancel", "_must_cancel");
    CELL.get_or_try_init(py, probe).copied()
}

fn do_uncancel(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    task.uncancel()?;
    give_cancelling(task)
}

impl TaskRef<'_> {
    /// Takes back one request to cancel; returns how many are left.
    pub(crate) fn uncancel(&self) -> PyResult<u32> {
        let clears = uncancel_takes_all_back(self.py())?;
        Ok(self.update(|body| {
            if body.cancels_requested > 0 {
                body.cancels_requested -= 1;
                if body.cancels_requested == 0 && clears {
                    body.must_cancel = false;
                }
            }
            body.cancels_requested
        }))
    }
}

fn give_name(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    Ok(task.name()?.unbind())
}

fn show_coroutine(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    show(task, task.task().coroutine())
}

fn show_context(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    show(task, task.task().context.as_ref())
}

fn show_waiting_for(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    show(task, task.task().waiting_for.as_ref())
}

fn show_must_cancel(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(task.py(), task.task().must_cancel)
}

fn show_log_destroy_pending(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(task.py(), task.task().log_destroy_pending)
}

fn show(task: &TaskRef<'_>, field: Option<&OwnedRef>) -> PyResult<Py<PyAny>> {
    let py = task.py();
    Ok(field.map_or_else(|| py.None(), |owned| owned.get(py).unbind()))
}
