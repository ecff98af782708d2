//! `gather`: one future for the outcomes of many.
//!
//! The outer future (`ferrio_cpython::objects::future::GatheringFuture`) holds the state; each pending child calls it
//! through one native callback. States of the outer future: *being gathered* (it has no children yet: a child that
//! completes only has its exception marked as retrieved), *waiting*, *done*. The last child to complete collects the
//! results in the order of the arguments.

use ferrio_cpython::capi::hooks;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::resume::is_python_coroutine;
use ferrio_cpython::get_event_loop;
use ferrio_cpython::objects::coroutine_check::is_compared_by_identity;
use ferrio_cpython::objects::create_task::TaskMaker;
use ferrio_cpython::objects::current::{CurrentTaskCall, running_loop, running_task};
use ferrio_cpython::objects::future::future_like::{self, Failure};
use ferrio_cpython::objects::future::{DoneCallback, GatheringFuture, add_done_callback};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::ensure_future::{ensure, start_by};
use crate::common::imports;

static CHILD_DONE: DoneCallback = DoneCallback::new("gather.<locals>._done_callback", child_done);

/// The number of arguments from which looking up the loop's way to create tasks once pays off.
const MANY: usize = 8;

/// Return a future aggregating results from the given coroutines/futures.
///
/// Its result is the list of their results, in the order of the arguments. With `return_exceptions`, exceptions are
/// results like others; otherwise the first one raised is the future's. Cancelling the future cancels all children
/// that are not done; a child that is cancelled counts as one that raised `CancelledError`.
#[pyfunction]
#[pyo3(signature = (*coros_or_futures, return_exceptions=None), text_signature = "(*coros_or_futures, return_exceptions=False)")]
pub(super) fn gather<'py>(
    coros_or_futures: &Bound<'py, PyTuple>,
    return_exceptions: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let tolerant = return_exceptions.map_or(Ok(false), PyAnyMethods::is_truthy)?;
    gather_all(coros_or_futures, tolerant)
}

/// `gather` for internal callers: `tolerant` returns exceptions as results.
///
/// # Errors
/// The errors of `gather`.
pub(crate) fn gather_all<'py>(coros_or_futures: &Bound<'py, PyTuple>, tolerant: bool) -> PyResult<Bound<'py, PyAny>> {
    let py = coros_or_futures.py();
    if coros_or_futures.is_empty() {
        let outer = get_event_loop(py)?.call_method0(pyo3::intern!(py, "create_future"))?;
        future_like::set_result(&outer, memory::empty_list(py)?.into_any())?;
        return Ok(outer);
    }
    Collection::begin(py, tolerant)?.collect(coros_or_futures)
}

/// The conversion of the arguments to children.
struct Collection<'py> {
    owner: Option<Bound<'py, PyAny>>,
    waiter: Option<Bound<'py, PyAny>>,
    /// Whether there are enough arguments for a `TaskMaker`.
    many: bool,
    /// Creates the tasks, from the second on.
    maker: Option<TaskMaker<'py>>,
    outer: Option<GatheringFuture<'py>>,
    /// Whether exceptions are returned as results.
    tolerant: bool,
    children: Vec<Bound<'py, PyAny>>,
    expected: usize,
    /// Since 3.12, children that are already done; they are reported once all children are known.
    done: Vec<Bound<'py, PyAny>>,
    /// Since 3.12 a child that is already done is reported directly, not in the next turn.
    reports_done_directly: bool,
}

impl<'py> Collection<'py> {
    fn begin(py: Python<'py>, tolerant: bool) -> PyResult<Self> {
        let version = imports::python_version(py);
        let mut this = Self {
            owner: None,
            waiter: None,
            many: false,
            maker: None,
            outer: None,
            tolerant,
            children: Vec::new(),
            expected: 0,
            done: Vec::new(),
            reports_done_directly: version >= (3, 12),
        };
        if version >= (3, 14) {
            this.owner = running_loop(py)?;
            let task = |owner| running_task(py, owner, CurrentTaskCall::WithLoop);
            this.waiter = this.owner.as_ref().map(task).transpose()?.flatten();
        }
        Ok(this)
    }

    fn collect(mut self, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = arguments.py();
        self.children.reserve_exact(arguments.len());
        self.many = arguments.len() >= MANY;
        if differ(arguments) {
            for argument in arguments {
                let child = self.child_of(&argument)?;
                self.children.push(child);
            }
        } else {
            self.collect_equals(arguments)?;
        }
        let children = memory::list(py, std::mem::take(&mut self.children))?;
        let expected = self.expected;
        let outer = self.outer()?;
        outer.complete(children, expected);
        let outer = outer.as_any().clone();
        for child in &self.done {
            child_done(&outer, child)?;
        }
        Ok(outer)
    }

    /// Arguments that compare equal, as dictionary keys do, become one child.
    fn collect_equals(&mut self, arguments: &Bound<'py, PyTuple>) -> PyResult<()> {
        let known = memory::dict(arguments.py())?;
        for argument in arguments {
            let child = if let Some(child) = known.get_item(&argument)? {
                child
            } else {
                let child = self.child_of(&argument)?;
                known.set_item(&argument, &child)?;
                child
            };
            self.children.push(child);
        }
        Ok(())
    }

    /// The outer future, on the first child's loop; created on first use.
    fn outer(&mut self) -> PyResult<&GatheringFuture<'py>> {
        if self.outer.is_none() {
            let Some(owner) = &self.owner else {
                return Err(ferrio_cpython::error::<pyo3::exceptions::PyRuntimeError>("no loop is known"));
            };
            self.outer = Some(GatheringFuture::new(owner, self.tolerant, self.waiter.clone())?);
        }
        self.outer
            .as_ref()
            .ok_or_else(|| ferrio_cpython::error::<pyo3::exceptions::PyRuntimeError>("no future was created"))
    }

    #[inline]
    fn child_of(&mut self, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let is_unpatched = || is_python_coroutine(argument) && !hooks::ENSURE_FUTURE.is_replaced(argument.py());
        let child = match &self.maker {
            Some(maker) if is_unpatched() => start_by(maker, argument)?,
            _ => ensure(argument, self.owner.as_ref())?,
        };
        if self.owner.is_none() {
            self.owner = Some(future_like::loop_of(&child)?);
        }
        if self.many && self.maker.is_none() && !child.is(argument) {
            self.maker = self.owner.as_ref().map(TaskMaker::new).transpose()?;
        }
        if !child.is(argument) {
            // `gather` holds the only reference to the task, so the caller cannot await it itself.
            future_like::clear_log_destroy_pending(&child)?;
        }
        self.expected += 1;
        if self.reports_done_directly && future_like::is_done(&child)? {
            self.done.push(child.clone());
            return Ok(child);
        }
        if let Some(waiter) = &self.waiter {
            future_like::add_waiter(&child, waiter)?;
        }
        add_done_callback(&child, self.outer()?.as_any(), &CHILD_DONE)?;
        Ok(child)
    }
}

/// Whether no two arguments are equal, as far as is known without calling their `__eq__`.
fn differ(arguments: &Bound<'_, PyTuple>) -> bool {
    let mut addresses = Vec::with_capacity(arguments.len());
    for argument in arguments.iter_borrowed() {
        if !is_compared_by_identity(&argument) {
            return false;
        }
        addresses.push(argument.as_ptr().addr());
    }
    addresses.sort_unstable();
    addresses.windows(2).all(|pair| pair[0] != pair[1])
}

/// Handles a completed child: `_done_callback` of asyncio's `gather`.
fn child_done<'py>(outer: &Bound<'py, PyAny>, child: &Bound<'py, PyAny>) -> PyResult<()> {
    let Some(outer_future) = GatheringFuture::of(outer) else { return Ok(()) };
    let is_last = outer_future.count_finished();
    let waiter = outer_future.waiter();
    if let Some(waiter) = &waiter {
        future_like::discard_waiter(child, waiter)?;
    }
    if !outer_future.is_waiting() {
        // Marks the exception as retrieved.
        return future_like::failure(child).map(drop);
    }
    if !outer_future.returns_exceptions()
        && let Some(failure) = future_like::failure(child)?
    {
        let exception = match failure {
            Failure::Cancelled => future_like::cancelled_error(child)?,
            Failure::Exception(exception) => exception,
        };
        discard_waiter_of_all(&outer_future, waiter.as_ref())?;
        return future_like::set_exception(outer, &exception);
    }
    if is_last { finish(&outer_future) } else { Ok(()) }
}

/// Removes the call graph edges to the children that are still pending.
fn discard_waiter_of_all<'py>(outer_future: &GatheringFuture<'py>, waiter: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    if let (Some(children), Some(waiter)) = (outer_future.children(), waiter) {
        for child in &children {
            future_like::discard_waiter(&child, waiter)?;
        }
    }
    Ok(())
}

/// Completes the outer future, once all children are done.
fn finish(outer_future: &GatheringFuture<'_>) -> PyResult<()> {
    let outer = outer_future.as_any();
    let Some(children) = outer_future.children() else { return Ok(()) };
    let mut results = Vec::with_capacity(children.len());
    for child in &children {
        results.push(match future_like::failure(&child)? {
            None => future_like::result(&child)?,
            Some(Failure::Exception(exception)) => exception,
            Some(Failure::Cancelled) => cancellation(&child)?,
        });
    }
    if outer_future.cancel_requested()
        && let Some(last) = children.iter().last()
    {
        return future_like::set_exception(outer, &future_like::cancelled_error(&last)?);
    }
    future_like::set_result(outer, memory::list(outer.py(), results)?.into_any())
}

/// The object that stands for a cancelled child in the results.
#[cold]
fn cancellation<'py>(child: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = child.py();
    let message = child.getattr(pyo3::intern!(py, "_cancel_message"))?;
    let class = imports::cancelled_error(py)?;
    if message.is_none() { class.call1(("",)) } else { class.call1((message,)) }
}
