//! Reads and replaces single objects of the state of a reader, a writer or a protocol.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;

/// A class that keeps its objects in a `GilCell`.
pub(super) trait Fields {
    type State;

    fn state(&self) -> &GilCell<Self::State>;

    /// One object; None if there is none.
    fn field<'py>(
        &self,
        py: Python<'py>,
        look: impl FnOnce(&Self::State) -> &Option<OwnedRef>,
    ) -> Option<Bound<'py, PyAny>> {
        self.state().with(py, |state| look(state).as_ref().map(|object| object.bind(py).clone()))
    }

    /// Replaces one object; Python's None counts as none. The object before is dropped outside the borrow.
    fn put(
        &self,
        py: Python<'_>,
        place: impl FnOnce(&mut Self::State) -> &mut Option<OwnedRef>,
        object: Option<Bound<'_, PyAny>>,
    ) {
        let object = object.filter(|object| !object.is_none()).map(OwnedRef::from);
        let before = self.state().with(py, |state| std::mem::replace(place(state), object));
        drop(before);
    }
}
