//! The tasks or the child scopes of a scope: a set, of which most scopes need no more than one place.
//!
//! Invariant: once Python code has seen the set, it is where the members are, so that what anyio's own code adds to it
//! or removes from it counts.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;
use pyo3::types::PySet;
use pyo3::{PyTraverseError, PyVisit};

pub(crate) struct Members(GilCell<Kind>);

enum Kind {
    None,
    One(OwnedRef),
    Set(OwnedRef<PySet>),
}

/// What is left to do outside the borrow.
enum Remaining<'py> {
    Nothing,
    InSet(Bound<'py, PySet>),
    Grow,
}

impl Members {
    pub(crate) const fn new() -> Self {
        Self(GilCell::new(Kind::None))
    }

    #[inline]
    pub(crate) fn add(&self, member: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = member.py();
        let remaining = self.0.with(py, |kind| match kind {
            Kind::None => {
                *kind = Kind::One(OwnedRef::of(member));
                Remaining::Nothing
            }
            Kind::One(only) if only.bind(py).is(member) => Remaining::Nothing,
            Kind::One(_) => Remaining::Grow,
            Kind::Set(set) => Remaining::InSet(set.bind(py).clone()),
        });
        match remaining {
            Remaining::Nothing => Ok(()),
            Remaining::InSet(set) => set.add(member),
            Remaining::Grow => self.set(py)?.add(member),
        }
    }

    /// Removes a member; returns whether it was one.
    #[inline]
    pub(crate) fn discard(&self, member: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = member.py();
        let (found, set) = self.0.with(py, |kind| match kind {
            Kind::One(only) if only.bind(py).is(member) => (Some(std::mem::replace(kind, Kind::None)), None),
            Kind::None | Kind::One(_) => (None, None),
            Kind::Set(set) => (None, Some(set.bind(py).clone())),
        });
        match set {
            Some(set) => set.discard(member),
            None => Ok(found.is_some()),
        }
    }

    /// Removes a member.
    ///
    /// # Errors
    /// `KeyError` when it is not there, as `set.remove`.
    #[inline]
    pub(crate) fn remove(&self, member: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.discard(member)? {
            return Ok(());
        }
        Err(ferrio_cpython::error::<pyo3::exceptions::PyKeyError>((member.clone().unbind(),)))
    }

    /// The members, in the order of a set.
    #[inline]
    pub(crate) fn each<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (only, set) = self.0.with(py, |kind| match kind {
            Kind::None => (None, None),
            Kind::One(only) => (Some(only.bind(py).clone()), None),
            Kind::Set(set) => (None, Some(set.bind(py).clone())),
        });
        match set {
            Some(set) => memory::collected(set.try_iter()?),
            None => Ok(only.into_iter().collect()),
        }
    }

    pub(crate) fn is_empty(&self, py: Python<'_>) -> bool {
        self.0.with(py, |kind| match kind {
            Kind::None => true,
            Kind::One(_) => false,
            Kind::Set(set) => set.bind(py).is_empty(),
        })
    }

    /// The members as a set, which they are in from now on.
    pub(crate) fn set<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        let set = self.0.with(py, |kind| match kind {
            Kind::Set(set) => Some(set.bind(py).clone()),
            Kind::None | Kind::One(_) => None,
        });
        if let Some(set) = set {
            return Ok(set);
        }
        let set = PySet::new(py, self.each(py)?)?;
        let before = self.0.with(py, |kind| std::mem::replace(kind, Kind::Set(OwnedRef::of(&set))));
        drop(before);
        Ok(set)
    }

    /// Takes everything out.
    pub(crate) fn clear(&self, py: Python<'_>) {
        let before = self.0.with(py, |kind| std::mem::replace(kind, Kind::None));
        drop(before);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.0.traverse(visit, |kind| match kind {
            Kind::None => Ok(()),
            Kind::One(only) => only.traverse(visit),
            Kind::Set(set) => set.traverse(visit),
        });
        outcome.unwrap_or(Ok(()))
    }
}
