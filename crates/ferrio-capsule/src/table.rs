//! The table: its layout, and what each function promises.

use std::ffi::{CStr, c_int};

use pyo3::ffi::PyObject;

/// The attribute of `ferrio._ferrio` that has the capsule.
pub const ATTRIBUTE: &str = "_bridge_api";

/// The capsule's name.
pub const NAME: &CStr = c"ferrio._ferrio._bridge_api";

/// The version of this crate's [`Table`].
pub const VERSION: (u32, u32) = (1, 0);

/// What each version of the table begins with.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Header {
    /// The first number of the version.
    pub major: u32,
    /// The second number of the version.
    pub minor: u32,
    /// The table's size in bytes, this header included.
    pub size: usize,
}

impl Header {
    /// That of this version's table.
    pub const CURRENT: Self = Self { major: VERSION.0, minor: VERSION.1, size: size_of::<Table>() };
}

/// What a bell is on ferrio's side.
#[derive(Debug)]
#[repr(C)]
pub struct RawBell {
    _opaque: [u8; 0],
}

/// The functions. It lives as long as the process.
///
/// All need the GIL but the last two. Objects are borrowed from the caller. A function that returns an object returns a new
/// reference, or null with an exception set; one that returns a number returns 0, or -1 with an exception set. None of
/// them unwinds.
#[derive(Debug)]
#[repr(C)]
pub struct Table {
    /// Version and size.
    pub header: Header,
    /// The loop that runs on this thread, as `asyncio.get_running_loop()`.
    pub running_loop: unsafe extern "C" fn() -> *mut PyObject,
    /// `event_loop.create_task(coroutine)`.
    pub create_task: unsafe extern "C" fn(event_loop: *mut PyObject, coroutine: *mut PyObject) -> *mut PyObject,
    /// `event_loop.create_future()`, marked as yielded by `await`: a coroutine hands it to its task as it is.
    pub new_future: unsafe extern "C" fn(event_loop: *mut PyObject) -> *mut PyObject,
    /// Completes a future with None, unless it is done.
    pub complete: unsafe extern "C" fn(future: *mut PyObject) -> c_int,
    /// Has the loop call `callback()` in an empty context after each ring of the bell that it stores in `bell`, once for
    /// the rings that come before it does. The loop drops the callback when it is closed. Stores null if this loop has no
    /// bells.
    pub hang_bell:
        unsafe extern "C" fn(event_loop: *mut PyObject, callback: *mut PyObject, bell: *mut *const RawBell) -> c_int,
    /// Rings, from any thread, without the GIL, also after the end of the loop or of the interpreter.
    pub ring: unsafe extern "C" fn(bell: *const RawBell),
    /// Gives the bell back; as free as `ring`.
    pub drop_bell: unsafe extern "C" fn(bell: *const RawBell),
}
