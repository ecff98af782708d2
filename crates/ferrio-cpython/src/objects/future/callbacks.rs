//! The callbacks that a future schedules when it is done.
//!
//! The first callback has a field of its own, because most futures have one. A ferrio task that waits is an entry
//! without a bound method or context: its step goes into the ready queue directly, and so does one of ferrio's own
//! callbacks (`done_callback.rs`). To Python each entry is asyncio's pair of callback and context.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use super::FutureRef;
use super::done_callback::{DoneCallback, ReadyCallback, Registered};
use crate::capi::context;
use crate::capi::memory;
use crate::capi::memory::{BoxSpace, out_of_memory};
use crate::capi::owned_ref::OwnedRef;
use crate::objects::handle::{Arity, HandleRef, Kind, Parts};
use crate::objects::runnable::Runnable;
use crate::objects::task::{self, TaskRef};

/// One callback.
pub(crate) enum Callback {
    /// A callable and the context to call it in.
    Python(OwnedRef, OwnedRef),
    /// A ferrio task on the same loop, exactly of our type, that waits for the future.
    WakeTask(OwnedRef),
    /// An object and a function of ferrio.
    Native(Registered),
}

/// All callbacks, in order.
#[derive(Default)]
pub(crate) struct Callbacks {
    first: Option<Callback>,
    /// None while there is at most one callback.
    #[expect(clippy::box_collection, reason = "a future almost never has two callbacks: 8 bytes in place of 24")]
    others: Option<Box<Vec<Callback>>>,
}

impl Callbacks {
    /// Appends `callback`; returns it if there is no memory for it.
    #[inline(always)] // most futures have one callback (benchmark `task_seq`)
    #[must_use]
    pub(crate) fn push(&mut self, callback: Callback) -> Option<Callback> {
        if self.first.is_none() && self.others.is_none() {
            self.first = Some(callback);
            return None;
        }
        self.push_after_others(callback)
    }

    #[inline(never)]
    fn push_after_others(&mut self, callback: Callback) -> Option<Callback> {
        let others = if let Some(others) = &mut self.others {
            others
        } else {
            let Some(space) = BoxSpace::reserve() else { return Some(callback) };
            self.others.insert(space.fill(Vec::new()))
        };
        if others.len() == others.capacity() && others.try_reserve(1).is_err() {
            return Some(callback);
        }
        others.push(callback);
        None
    }

    /// Takes out those that `is_selected` picks, without Python code. Returns None and leaves all if there is no memory
    /// for the result; taking all needs none.
    fn remove(&mut self, is_selected: impl Fn(&Callback) -> bool) -> Option<Self> {
        let selected = self.iter().filter(|callback| is_selected(callback)).count();
        if selected == self.len() {
            return Some(std::mem::take(self));
        }
        let mut removed = Vec::new();
        removed.try_reserve_exact(selected).ok()?;
        let space = BoxSpace::reserve()?;
        removed.extend(self.first.take_if(|first| is_selected(first)));
        if let Some(others) = &mut self.others {
            removed.extend(others.extract_if(.., |callback| is_selected(callback)));
        }
        Some(Self { first: None, others: Some(space.fill(removed)) })
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, |others| others.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Callback> {
        self.first.iter().chain(self.others.iter().flat_map(|others| others.iter()))
    }
}

impl<'py> FutureRef<'py> {
    /// The first and the last callback, as Python sees them, each with its place counted from one; one if there is one.
    pub(crate) fn callbacks_shown_at_the_ends(&self) -> PyResult<Vec<(Bound<'py, PyAny>, usize)>> {
        let py = self.py();
        let count = self.body().callbacks.len();
        let ends: &[usize] = match count {
            0 => &[],
            1 => &[1],
            _ => &[1, count],
        };
        let at = |place: &usize| self.body().callbacks.iter().nth(place - 1).map(|callback| callback.clone_ref(py));
        let callbacks = ends.iter().filter_map(|place| at(place).map(|callback| (callback, *place)));
        callbacks.map(|(callback, place)| Ok((callback.pair(py)?.0, place))).collect()
    }
}

impl Callback {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Python(callable, context) => Self::Python(callable.clone_ref(py), context.clone_ref(py)),
            Self::WakeTask(task) => Self::WakeTask(task.clone_ref(py)),
            Self::Native(registered) => Self::Native(registered.clone_ref(py)),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Python(left, left_context), Self::Python(right, right_context)) => {
                left.as_ptr() == right.as_ptr() && left_context.as_ptr() == right_context.as_ptr()
            }
            (Self::WakeTask(left), Self::WakeTask(right)) => left.as_ptr() == right.as_ptr(),
            (Self::Native(left), Self::Native(right)) => left.is_same(right.object.as_ptr(), right.callback),
            (Self::Python(..) | Self::WakeTask(_) | Self::Native(_), _) => false,
        }
    }

    /// The pair that Python sees.
    fn pair<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        match self {
            Self::Python(callable, context) => Ok((callable.get(py), context.get(py))),
            Self::WakeTask(task) => {
                // SAFETY: only ferrio tasks are put into this variant.
                let task = unsafe { TaskRef::new_unchecked(task.get(py)) };
                let context =
                    task.task().context.as_ref().map_or_else(|| py.None().into_bound(py), |owned| owned.get(py));
                Ok((task::wakeup_callable(&task)?, context))
            }
            Self::Native(registered) => Ok((registered.shown(py)?, context::copy_current_directly(py)?)),
        }
    }

    /// The callable that a foreign loop is to call, and in which context.
    fn foreign_pair<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        match self {
            Self::Native(registered) => Ok((registered.callable(py)?, context::copy_current_directly(py)?)),
            Self::Python(..) | Self::WakeTask(_) => self.pair(py),
        }
    }

    pub(crate) fn traverse(&self, mut visit: impl FnMut(&OwnedRef)) {
        match self {
            Self::Python(callable, context) => {
                visit(callable);
                visit(context);
            }
            Self::WakeTask(task) => visit(task),
            Self::Native(registered) => visit(&registered.object),
        }
    }
}

impl<'py> FutureRef<'py> {
    /// The future's own `add_done_callback`.
    #[inline]
    pub(crate) fn add_callback(
        &self,
        callable: &Bound<'py, PyAny>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        self.check_initialized()?;
        let context = match context {
            Some(context) => context,
            None => context::copy_current_directly(self.py())?,
        };
        let callback = Callback::Python(callable.clone().into(), context.into());
        if self.is_pending() {
            return self.keep(callback);
        }
        self.schedule(callback)
    }

    /// Resumes `task`, which is on the same loop, when the future is done.
    #[inline]
    pub(crate) fn wake_when_done(&self, task: &TaskRef<'py>) -> PyResult<()> {
        let callback = Callback::WakeTask(task.object().clone().into());
        if self.is_pending() {
            return self.keep(callback);
        }
        self.schedule(callback)
    }

    #[inline(always)] // benchmark `task_seq`
    fn keep(&self, callback: Callback) -> PyResult<()> {
        match self.update(|body| body.callbacks.push(callback)) {
            None => Ok(()),
            Some(_) => Err(out_of_memory(self.py())),
        }
    }

    /// `add_done_callback` for one of ferrio's own callbacks.
    #[inline]
    pub(super) fn add_registered(&self, registered: Registered) -> PyResult<()> {
        self.check_initialized()?;
        let callback = Callback::Native(registered);
        if self.is_pending() {
            return self.keep(callback);
        }
        self.schedule(callback)
    }

    /// `remove_done_callback` for one of ferrio's own callbacks.
    #[inline]
    pub(super) fn remove_registered(&self, object: &Bound<'py, PyAny>, callback: &DoneCallback) {
        let is_selected = |present: &Callback| match present {
            Callback::Native(registered) => registered.is_same(object.as_ptr(), callback),
            Callback::Python(..) | Callback::WakeTask(_) => false,
        };
        let removed = self.update(|body| body.callbacks.remove(is_selected));
        drop(removed);
    }

    #[inline]
    pub(super) fn schedule_callbacks(&self) -> PyResult<()> {
        let Callbacks { first, others } = self.update(|body| std::mem::take(&mut body.callbacks));
        let outcome = first.map_or(Ok(()), |first| self.schedule(first));
        match (outcome, others) {
            (outcome, None) => outcome,
            (Ok(()), Some(others)) => self.schedule_all(&mut others.into_iter()),
            (Err(error), Some(others)) => self.schedule_without_memory(&mut others.into_iter(), error),
        }
    }

    #[inline(never)]
    fn schedule_all(&self, callbacks: &mut std::vec::IntoIter<Callback>) -> PyResult<()> {
        while let Some(callback) = callbacks.next() {
            if let Err(error) = self.schedule(callback) {
                return self.schedule_without_memory(callbacks, error);
            }
        }
        Ok(())
    }

    /// One callback could not be scheduled. Under asyncio the others are then lost too; ours are scheduled all the same if
    /// the reason is a lack of memory, so that tasks learn that the future is done.
    #[cold]
    fn schedule_without_memory(&self, others: &mut std::vec::IntoIter<Callback>, error: PyErr) -> PyResult<()> {
        if error.is_instance_of::<PyMemoryError>(self.py()) {
            others.for_each(|callback| drop(self.schedule(callback)));
        }
        Err(error)
    }

    #[inline]
    fn schedule(&self, callback: Callback) -> PyResult<()> {
        let py = self.py();
        let Some(owner) = self.native_owner()? else {
            let (callable, context) = callback.foreign_pair(py)?;
            return call_soon(&self.owner()?, &callable, self.object(), &context);
        };
        owner.get().check_scheduling(py)?;
        let runnable = match callback {
            Callback::WakeTask(task) => Runnable::wakeup(task, self.object().clone().into()),
            Callback::Native(registered) => Runnable::DoneCallback(ReadyCallback::new(registered, self)),
            Callback::Python(callable, context) => {
                let parts = Parts {
                    callback: callable.into_bound(py),
                    arguments: Some(self.object().clone()),
                    arity: Arity::One,
                    context: context.into_bound(py),
                    context_is_shared: false,
                    when: 0.0,
                    kind: Kind::Soon,
                };
                Runnable::Handle(HandleRef::new(&owner, parts)?)
            }
        };
        owner.get().push(py, runnable)
    }

    /// `remove_done_callback`: returns how many were removed. Comparing may run any code, so it works on a copy of the
    /// list.
    pub(crate) fn remove_callback(&self, callable: &Bound<'py, PyAny>) -> PyResult<usize> {
        let py = self.py();
        self.check_initialized()?;
        let is_identical = |callback: &Callback| match callback {
            Callback::Python(own, _) => own.as_ptr() == callable.as_ptr(),
            Callback::WakeTask(_) | Callback::Native(_) => false,
        };
        // In most cases no comparison is needed, and no copy.
        let removed = self.update(|body| body.callbacks.remove(is_identical)).ok_or_else(|| out_of_memory(py))?;
        let mut count = removed.len();
        drop(removed);
        let mut selected = Vec::new();
        for callback in self.copied_callbacks()? {
            let (own, _) = callback.pair(py)?;
            if own.eq(callable)? {
                selected.try_reserve(1).map_err(|_| out_of_memory(py))?;
                selected.push(callback);
            }
        }
        if !selected.is_empty() {
            let is_selected = |callback: &Callback| selected.iter().any(|other| other.is_same(callback));
            let removed = self.update(|body| body.callbacks.remove(is_selected)).ok_or_else(|| out_of_memory(py))?;
            count += removed.len();
        }
        Ok(count)
    }

    fn copied_callbacks(&self) -> PyResult<Vec<Callback>> {
        let py = self.py();
        let mut present = Vec::new();
        let callbacks = &self.body().callbacks;
        present.try_reserve_exact(callbacks.iter().count()).map_err(|_| out_of_memory(py))?;
        present.extend(callbacks.iter().map(|callback| callback.clone_ref(py)));
        Ok(present)
    }

    /// asyncio's list of pairs, or None when there is none.
    pub(super) fn show_callbacks(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let present = self.copied_callbacks()?;
        if present.is_empty() {
            return Ok(py.None().into_bound(py));
        }
        let list = memory::empty_list(py)?;
        for callback in present {
            let (callable, context) = callback.pair(py)?;
            list.append(memory::tuple(py, [callable, context])?)?;
        }
        Ok(list.into_any())
    }
}

/// `owner.call_soon(callable, argument, context=context)` on any loop.
pub(crate) fn call_soon<'py>(
    owner: &Bound<'py, PyAny>,
    callable: &Bound<'py, PyAny>,
    argument: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = owner.py();
    let keywords = memory::dict(py)?;
    keywords.set_item(crate::intern!(py, "context"), context)?;
    owner.call_method(crate::intern!(py, "call_soon"), (callable, argument), Some(&keywords))?;
    Ok(())
}
