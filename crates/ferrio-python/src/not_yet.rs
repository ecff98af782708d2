//! What comes with a later version: TLS upgrades.
//!
//! The methods are here so that a program learns it in a sentence, at the await; asyncio's own would say nothing.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::coroutine::Coroutine;
use crate::event_loop::Loop;

/// Methods with any arguments whose coroutine says what is missing.
macro_rules! later {
    ($($name:ident $qualified:literal $what:literal)*) => {
        #[pymethods]
        impl Loop {$(
            #[doc = concat!($what, " a later version of ferrio.")]
            #[pyo3(signature = (*_args, **_kwargs))]
            fn $name(
                slf: &Bound<'_, Self>,
                _args: &Bound<'_, PyTuple>,
                _kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<Coroutine>> {
                Coroutine::spawn(slf.py(), $qualified, |_| async {
                    Err::<(), _>(PyNotImplementedError::new_err(concat!($what, " a later version of ferrio")))
                })
            }
        )*}
    };
}

later! {
    start_tls "EventLoop.start_tls" "TLS comes with"
}
