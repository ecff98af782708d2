//! A layer between `PyO3`'s trampolines and the functions that its macros wrap: running out of memory becomes
//! `MemoryError`.
//!
//! `PyO3` makes exceptions, also those for a panic, as late as it can: in its trampoline, where another panic aborts
//! the process. With this layer an error is already made when it arrives there, and no panic arrives.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::impl_::callback::{self as of_callback, IntoPyCallbackOutput};
#[doc(hidden)]
pub use pyo3::impl_::trampoline::{self as of_pyo3, MethodDef};
use pyo3::prelude::*;

use crate::capi::trampoline;

type Object = *mut ffi::PyObject;

/// `pyo3::impl_::trampoline::get_trampoline_function`, with `CatchingMethod` in between.
#[macro_export]
#[doc(hidden)]
macro_rules! guarded_trampoline {
    ($trampoline:ident, $function:path) => {{
        struct Function;
        impl $crate::capi::pyo3_trampolines::MethodDef<$crate::capi::pyo3_trampolines::of_pyo3::$trampoline::Func>
            for Function
        {
            const METH: $crate::capi::pyo3_trampolines::of_pyo3::$trampoline::Func = $function;
        }
        $crate::capi::pyo3_trampolines::of_pyo3::$trampoline::<$crate::capi::pyo3_trampolines::CatchingMethod<Function>>
    }};
}

/// `PyO3` as its macros expect it, with the trampolines of this file and the names of `interned`.
pub mod bindings {
    pub use pyo3::*;

    #[doc(hidden)]
    pub use crate::intern;

    #[doc(hidden)]
    pub mod impl_ {
        pub use pyo3::impl_::*;

        pub mod callback {
            pub use pyo3::impl_::callback::*;

            pub use crate::capi::pyo3_trampolines::convert;
        }

        pub mod trampoline {
            pub use pyo3::impl_::trampoline::*;

            pub use crate::guarded_trampoline as get_trampoline_function;
        }
    }
}

/// `pyo3::impl_::callback::convert`, whose error is made, and which does not panic for a lack of memory. The trampolines
/// of getters and setters are `PyO3`'s own and take what they call by its address.
///
/// # Errors
/// The error that `value` holds or its conversion raises.
#[doc(hidden)]
#[inline]
pub fn convert<'py, T: IntoPyCallbackOutput<'py, U>, U>(py: Python<'py>, value: T) -> PyResult<U> {
    made(py, || of_callback::convert(py, value))
}

/// The function `F`, without panics for a lack of memory, and with errors that are already made.
#[doc(hidden)]
pub struct CatchingMethod<F>(PhantomData<F>);

macro_rules! guard {
    ($($argument:ident: $kind:ty),+ => $output:ty) => {
        impl<F> MethodDef<for<'py> unsafe fn(Python<'py>, $($kind),+) -> PyResult<$output>> for CatchingMethod<F>
        where
            F: MethodDef<for<'py> unsafe fn(Python<'py>, $($kind),+) -> PyResult<$output>>,
        {
            const METH: for<'py> unsafe fn(Python<'py>, $($kind),+) -> PyResult<$output> = {
                #[inline]
                unsafe fn catching<F>(py: Python<'_>, $($argument: $kind),+) -> PyResult<$output>
                where
                    F: MethodDef<for<'py> unsafe fn(Python<'py>, $($kind),+) -> PyResult<$output>>,
                {
                    // SAFETY: the trampoline's guarantee is passed on.
                    made(py, || unsafe { F::METH(py, $($argument),+) })
                }
                catching::<F>
            };
        }
    };
}

guard!(slf: Object => Object);
guard!(slf: Object => isize);
guard!(slf: Object => c_int);
guard!(slf: Object, one: Object => Object);
guard!(slf: Object, one: Object => c_int);
guard!(slf: Object, one: Object, two: Object => Object);
guard!(slf: Object, one: Object, two: Object => c_int);
guard!(slf: Object, other: Object, operation: c_int => Object);
guard!(slf: Object, index: isize => Object);
guard!(class: *mut ffi::PyTypeObject, arguments: Object, keywords: Object => Object);
guard!(slf: Object, stack: *const Object, count: isize, keywords: Object => Object);
guard!(slf: Object, view: *mut ffi::Py_buffer, flags: c_int => c_int);
guard!(slf: Object, view: *mut ffi::Py_buffer => ());

/// The outcome of `body`, with its error made.
#[inline]
fn made<R>(py: Python<'_>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(trampoline::normalized(py, error)),
        Err(payload) => Err(trampoline::panicked(py, payload.as_ref())),
    }
}
