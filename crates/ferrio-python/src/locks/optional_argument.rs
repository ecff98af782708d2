//! An argument that may be missing, as distinct from None.

use std::convert::Infallible;

use pyo3::Borrowed;
use pyo3::prelude::*;

/// The argument, if it was passed.
pub(crate) struct Argument<'py>(pub(crate) Option<Bound<'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Argument<'py> {
    type Error = Infallible;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Self(Some(object.to_owned())))
    }
}
