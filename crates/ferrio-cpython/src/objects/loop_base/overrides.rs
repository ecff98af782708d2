//! What a subclass or an instance overrides: the time, `call_soon`, timers. Looked up once, and again when an attribute
//! is set.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{CallSoon, Clock, LoopBase, system_time};
use crate::capi::coroutine_function;

impl LoopBase {
    /// The loop's time in seconds, from the system's monotonic clock or the overridden `time()`.
    ///
    /// # Errors
    /// Any exception that the overridden method raises.
    #[inline]
    pub fn now(slf: &Bound<'_, Self>) -> PyResult<f64> {
        match slf.get().clock.get(slf.py()) {
            Clock::System => system_time(slf.py()),
            Clock::Simulated => Self::simulated_time(slf),
            Clock::Overridden => slf.call_method0(crate::intern!(slf.py(), "time"))?.extract(),
            Clock::Unknown => {
                Self::find_clock(slf)?;
                Self::now(slf)
            }
        }
    }

    /// Whether timers follow a clock other than the system's.
    ///
    /// # Errors
    /// Any exception that looking up attributes raises.
    pub fn has_own_clock(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if slf.get().clock.get(slf.py()) == Clock::Unknown {
            Self::find_clock(slf)?;
        }
        Ok(slf.get().clock.get(slf.py()) == Clock::Overridden)
    }

    /// Makes the next use look up again where the time comes from.
    pub fn invalidate_time_source(&self, py: Python<'_>) {
        self.clock.set(py, Clock::Unknown);
    }

    #[cold]
    fn find_clock(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let clock = if overrides(slf, "time")? {
            Clock::Overridden
        } else if slf.get().is_simulated() {
            Clock::Simulated
        } else {
            Clock::System
        };
        let timers = overrides(slf, "call_at")? || overrides(slf, "call_later")?;
        slf.get().timers_overridden.set(timers);
        slf.get().clock.set(py, clock);
        Ok(())
    }

    /// Whether what tasks and futures schedule may go straight into the queue; otherwise it goes through `call_soon`.
    #[inline]
    pub(crate) fn schedules_itself(slf: &Bound<'_, Self>) -> PyResult<bool> {
        match slf.get().call_soon.get(slf.py()) {
            CallSoon::Ours => Ok(true),
            CallSoon::Overridden => Ok(false),
            CallSoon::Unknown => Self::find_call_soon(slf),
        }
    }

    #[cold]
    fn find_call_soon(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let ours = !overrides(slf, "call_soon")?;
        slf.get().call_soon.set(slf.py(), if ours { CallSoon::Ours } else { CallSoon::Overridden });
        Ok(ours)
    }
}

/// Whether a subclass or the instance itself overrides the method of that name.
///
/// # Errors
/// Any exception that looking up attributes raises.
pub fn overrides(slf: &Bound<'_, LoopBase>, name: &str) -> PyResult<bool> {
    // Reading the dictionary creates it, and the interpreter is slower to find methods of objects that have one
    // (benchmark `future_await`).
    let by_instance = slf.get().patched.get()
        && match slf.getattr_opt(name!("__dict__"))? {
            Some(attributes) => attributes.contains(name)?,
            None => false,
        };
    if by_instance {
        return Ok(true);
    }
    // Our methods are descriptors of builtin methods, or a substitute for one, on whichever of our classes.
    let method = slf.get_type().getattr(name)?;
    Ok(!is_method_descriptor(&method) && !coroutine_function::is_marked(&method)?)
}

fn is_method_descriptor(object: &Bound<'_, PyAny>) -> bool {
    let class = &raw mut ffi::PyMethodDescr_Type;
    std::ptr::eq(object.get_type_ptr(), class)
}
