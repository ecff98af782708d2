//! Where the running code is.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::creation::Place;
use super::records::RECORDS;
use crate::capi::{imports, innermost_frame};

/// How many frames are looked at for one that is not asyncio's.
const FRAMES: usize = 8;

/// Where the running code is, outside of asyncio's own.
pub(super) fn running_place(py: Python<'_>) -> Option<Place> {
    if let Some((code, offset)) = innermost_frame::place(py)
        && !is_asyncio(&code)
    {
        return Some(Place { code: code.unbind(), offset });
    }
    let mut frame = imports::current_frame(py);
    if let Some(frame) = &frame {
        innermost_frame::confirm(frame);
    }
    for _ in 0..FRAMES {
        let present = frame?;
        let pointer = present.as_ptr().cast::<ffi::PyFrameObject>();
        // SAFETY: a frame, which is alive while counted.
        let code = unsafe { ffi::PyFrame_GetCode(pointer) };
        // SAFETY: a new reference; every frame has a code object.
        let code = unsafe { Bound::from_owned_ptr(py, code.cast()) };
        if !is_asyncio(&code) {
            // SAFETY: as above.
            let offset = unsafe { ffi::PyFrame_GetLasti(pointer) };
            return Some(Place { code: code.unbind(), offset });
        }
        // SAFETY: as above.
        let outer = unsafe { ffi::PyFrame_GetBack(pointer) };
        // SAFETY: null, or a new reference.
        frame = unsafe { Bound::from_owned_ptr_or_opt(py, outer.cast()) };
        if frame.is_none() {
            // SAFETY: the GIL is held. Without memory for a frame object an error may be set.
            unsafe { ffi::PyErr_Clear() };
        }
    }
    None
}

/// The line of an instruction.
pub(super) fn line_of(code: &Py<PyAny>, offset: c_int) -> u32 {
    // SAFETY: a code object, as frames have one, which is alive while counted.
    let line_number = unsafe { ffi::PyCode_Addr2Line(code.as_ptr().cast(), offset) };
    line_number.try_into().unwrap_or_default()
}

/// Whether the code is in one of asyncio's own files, or of ours.
fn is_asyncio(code: &Bound<'_, PyAny>) -> bool {
    let py = code.py();
    let (known, directories) = RECORDS.with(py, |records| {
        let Some(records) = records else { return (Some(false), None) };
        let known = records.codes.is_asyncio(code);
        let directories = records.codes.asyncio.as_ref().filter(|_| known.is_none());
        (known, directories.map(|directories| directories.clone_ref(py)))
    });
    if let Some(known) = known {
        return known;
    }
    let Some(directories) = directories else { return false };
    let file = code.getattr(crate::intern!(py, "co_filename")).ok();
    let file = file.and_then(|file| file.cast_into_exact::<PyString>().ok());
    let begins = file.and_then(|file| file.call_method1(crate::intern!(py, "startswith"), (directories,)).ok());
    let is_asyncio = begins.is_some_and(|begins| begins.is_truthy().unwrap_or(false));
    let code = code.clone().unbind();
    let before = RECORDS.with(py, |records| records.as_mut().map(|records| records.codes.learn(code, is_asyncio)));
    drop(before);
    is_asyncio
}
