//! What tools that read the process's memory from outside are shown of a task, and the number that they take for its
//! name.
//!
//! `python -m asyncio ps` and profilers of 3.14 and later read a task as if it were asyncio's own: at one place they
//! expect a coroutine of the interpreter's own type, at another a string or an integer. Both pointers are theirs alone;
//! nothing in the process follows them. The coroutine shown for one of another type is a finished generator, of which
//! there is nothing to read. Earlier Pythons have no such tools, and keep a bare number.

#[cfg(Py_3_14)]
pub(super) use read_from_outside::{COROUTINE, NAME, Number, Shown, prepare};

#[cfg(not(Py_3_14))]
pub(super) use kept_inside::{Number, Shown};

#[cfg(Py_3_14)]
mod read_from_outside {
    use std::mem::offset_of;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use pyo3::ffi;
    use pyo3::prelude::*;

    use crate::capi::owned_ref::OwnedRef;

    /// A finished generator; never released. Relaxed: written with the GIL held, before the first task.
    static NOTHING: AtomicPtr<ffi::PyObject> = AtomicPtr::new(null_mut());

    /// Bits of a digit of an integer, of which a number has two.
    const DIGIT: u32 = 30;

    /// What stands at the places that the tools read.
    #[repr(C)]
    pub(in super::super) struct Shown {
        coroutine: *mut ffi::PyObject,
        name: *const ffi::PyObject,
    }

    pub(in super::super) const COROUTINE: usize = offset_of!(Shown, coroutine);
    pub(in super::super) const NAME: usize = offset_of!(Shown, name);

    impl Default for Shown {
        fn default() -> Self {
            Self { coroutine: NOTHING.load(Ordering::Relaxed), name: std::ptr::null() }
        }
    }

    impl Shown {
        /// Shows `name`, or `number` if there is none; both stay where they are as long as they are shown.
        #[inline]
        pub(in super::super) fn set_name(&mut self, name: Option<&OwnedRef>, number: &Number) {
            self.name = name.map_or_else(|| std::ptr::from_ref(number).cast(), |name| name.as_ptr().cast_const());
        }

        /// Shows `coroutine` if it is of the interpreter's own type.
        #[inline]
        pub(in super::super) fn set_coroutine(&mut self, coroutine: Option<&OwnedRef>) {
            let readable = coroutine.map(OwnedRef::as_ptr).filter(|coroutine| {
                // SAFETY: reads the type of a live object.
                let is_coroutine = unsafe { ffi::PyCoro_CheckExact(*coroutine) } != 0;
                // SAFETY: as above.
                is_coroutine || unsafe { ffi::PyGen_CheckExact(*coroutine) } != 0
            });
            self.coroutine = readable.unwrap_or_else(|| NOTHING.load(Ordering::Relaxed));
        }
    }

    /// A number in the form of the interpreter's integers (`struct _longobject`), which the tools show as `Task-<number>`.
    #[repr(C)]
    pub(in super::super) struct Number {
        reference_count: usize,
        class: *mut ffi::PyTypeObject,
        /// Three bits for the sign, here zero, which means positive; above them how many digits there are.
        tag: usize,
        digits: [u32; 2],
    }

    impl From<u64> for Number {
        #[inline]
        fn from(number: u64) -> Self {
            // Truncated: as many bits as a digit has.
            let digit = |number: u64| (number & ((1 << DIGIT) - 1)) as u32;
            let digits = [digit(number), digit(number >> DIGIT)];
            Self { reference_count: 1, class: &raw mut ffi::PyLong_Type, tag: 2 << 3, digits }
        }
    }

    impl Number {
        #[inline]
        pub(in super::super) fn value(&self) -> u64 {
            u64::from(self.digits[0]) | u64::from(self.digits[1]) << DIGIT
        }
    }

    /// Makes what is shown where nothing can be; returns whether integers have the form that numbers have here.
    pub(in super::super) fn prepare(py: Python<'_>) -> PyResult<bool> {
        let finished = py.eval(c"(None for nothing in ())", None, None)?;
        finished.try_iter()?.for_each(drop);
        NOTHING.store(finished.into_ptr(), Ordering::Relaxed);
        let bits: u32 =
            crate::capi::modules::module(py, "sys")?.getattr("int_info")?.getattr("bits_per_digit")?.extract()?;
        Ok(bits == DIGIT)
    }
}

#[cfg(not(Py_3_14))]
mod kept_inside {
    use crate::capi::owned_ref::OwnedRef;

    /// Nothing reads a task from outside.
    #[derive(Default)]
    pub(in super::super) struct Shown;

    impl Shown {
        #[inline]
        pub(in super::super) fn set_name(&mut self, _: Option<&OwnedRef>, _: &Number) {}

        #[inline]
        pub(in super::super) fn set_coroutine(&mut self, _: Option<&OwnedRef>) {}
    }

    /// A number.
    pub(in super::super) struct Number(u64);

    impl From<u64> for Number {
        #[inline]
        fn from(number: u64) -> Self {
            Self(number)
        }
    }

    impl Number {
        #[inline]
        pub(in super::super) fn value(&self) -> u64 {
            self.0
        }
    }
}

impl Default for Number {
    #[inline]
    fn default() -> Self {
        Self::from(0)
    }
}
