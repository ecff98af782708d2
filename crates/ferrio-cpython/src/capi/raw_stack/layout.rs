//! Where the running interpreter keeps its frames, found out from what is known of some of them.
//!
//! The places differ from version to version and with build options. Each is searched for with the lock held, among the
//! first words of objects that are alive, and taken only if it fits for two frames at one time.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::words::{half_word, word};
use crate::capi::imports;

/// Bits in which a frame's reference to its code may be marked.
pub(super) const TAGS: usize = 7;

/// Where an object has its type, in all builds with the interpreter's lock that do not trace references.
pub(super) const TYPE: usize = size_of::<usize>();

/// Where an object of variable size has its size.
pub(super) const SIZE: usize = 2 * size_of::<usize>();

/// The bit for ASCII in a string's state, counted from its width: after three bits for the width and one for compact.
pub(super) const ASCII: u32 = 1 << 4;

const COMPACT: u32 = 1 << 3;

/// How many words of an object are searched.
const WORDS: usize = 64;

/// Where things are, as distances in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    current: Current,
    /// From a frame object to its frame.
    pub(super) frame: usize,
    pub(super) executable: usize,
    pub(super) previous: usize,
    pub(super) instruction: usize,
    pub(super) code_type: usize,
    pub(super) name: usize,
    pub(super) file: usize,
    pub(super) line_table: usize,
    pub(super) first_line: usize,
    /// From a code object to its instructions.
    pub(super) instructions: usize,
    pub(super) bytes_content: usize,
    pub(super) ascii_content: usize,
    pub(super) text_content: usize,
    pub(super) text_state: usize,
    pub(super) kind_shift: u32,
}

/// How a thread's state leads to its innermost frame.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Current {
    /// It has the address.
    Direct(usize),
    /// It has the address of something that has the address.
    Indirect(usize, usize),
}

/// A frame that is known.
struct Known<'py> {
    object: Bound<'py, PyAny>,
    code: Bound<'py, PyAny>,
    frame: usize,
}

impl Layout {
    /// Searches, from the two innermost Python frames of this thread: one must have called the other directly.
    #[must_use]
    pub fn find(py: Python<'_>) -> Option<Self> {
        let inner = imports::current_frame(py)?;
        let outer = inner.getattr(crate::intern!(py, "f_back")).ok()?;
        let code_of = |frame: &Bound<'_, PyAny>| frame.getattr(crate::intern!(py, "f_code")).ok().map(Bound::unbind);
        let (inner_code, outer_code) = (code_of(&inner)?.into_bound(py), code_of(&outer)?.into_bound(py));
        let (frame, executable) = frame_and_code(&inner, &inner_code)?;
        let inner = Known { frame: word(address(&inner) + frame)?, object: inner, code: inner_code };
        let outer = Known { frame: word(address(&outer) + frame)?, object: outer, code: outer_code };
        if word(outer.frame + executable)? & !TAGS != address(&outer.code) {
            return None;
        }
        let previous = offsets().find(|at| word(inner.frame + at) == Some(outer.frame))?;
        let instructions: usize = inner.code.get_type().getattr("__basicsize__").ok()?.extract().ok()?;
        let instruction = instruction(&inner, &outer, instructions)?;
        let (text_state, kind_shift) = text_state(py)?;
        let in_code = |name: &str| in_both(&inner.code, &outer.code, name);
        Some(Self {
            current: current(inner.frame)?,
            frame,
            executable,
            previous,
            instruction,
            code_type: inner.code.get_type().as_ptr().addr(),
            name: in_code("co_qualname")?,
            file: in_code("co_filename")?,
            line_table: in_code("co_linetable")?,
            first_line: first_line(&inner.code, &outer.code)?,
            instructions,
            // After the header is the content, and a zero byte or character.
            bytes_content: size(PyBytes::new(py, b"").as_any())?.checked_sub(1)?,
            ascii_content: size(PyString::new(py, "").as_any())?.checked_sub(1)?,
            text_content: size(PyString::new(py, "éé").as_any())?.checked_sub(3)?,
            text_state,
            kind_shift,
        })
    }

    /// The innermost frame of the thread with this state.
    pub(super) fn innermost(&self, state: usize) -> Option<usize> {
        match self.current {
            Current::Direct(at) => word(state + at),
            Current::Indirect(at, further) => word(word(state + at)? + further),
        }
    }
}

/// Where this thread's state has the address of its innermost frame, and where a frame object has that of its frame.
#[cfg(Py_3_13)]
pub(in crate::capi) fn innermost(py: Python<'_>) -> Option<(usize, usize)> {
    let object = imports::current_frame(py)?;
    let code = object.getattr(crate::intern!(py, "f_code")).ok()?;
    let (in_object, _) = frame_and_code(&object, &code)?;
    match current(word(address(&object) + in_object)?)? {
        Current::Direct(in_state) => Some((in_state, in_object)),
        Current::Indirect(..) => None,
    }
}

fn address(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr().addr()
}

fn offsets() -> impl Iterator<Item = usize> {
    (0..WORDS).map(|place| place * size_of::<usize>())
}

/// Where a frame object has its frame, and that its code.
fn frame_and_code(object: &Bound<'_, PyAny>, code: &Bound<'_, PyAny>) -> Option<(usize, usize)> {
    offsets().take(8).skip(2).find_map(|at| {
        let frame = word(address(object) + at)?;
        let executable =
            offsets().take(16).find(|at| word(frame + at).is_some_and(|word| word & !TAGS == address(code)))?;
        Some((at, executable))
    })
}

/// Where a frame has the instruction that runs.
fn instruction(inner: &Known<'_>, outer: &Known<'_>, instructions: usize) -> Option<usize> {
    let last = |known: &Known<'_>| -> Option<usize> {
        let last: usize = known.object.getattr("f_lasti").ok()?.extract().ok()?;
        Some(address(&known.code) + instructions + last)
    };
    let (inner_last, outer_last) = (last(inner)?, last(outer)?);
    offsets()
        .take(16)
        .find(|at| word(inner.frame + at) == Some(inner_last) && word(outer.frame + at) == Some(outer_last))
}

/// How this thread's state leads to its innermost frame.
fn current(frame: usize) -> Option<Current> {
    // SAFETY: the GIL is held, so this thread has a state.
    let state = unsafe { ffi::PyThreadState_Get() }.addr();
    let direct = offsets().find(|at| word(state + at) == Some(frame)).map(Current::Direct);
    direct.or_else(|| {
        offsets().find_map(|at| {
            let target = word(state + at)?;
            offsets().take(3).find(|at| word(target + at) == Some(frame)).map(|further| Current::Indirect(at, further))
        })
    })
}

/// Where two code objects have an attribute.
fn in_both(first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>, name: &str) -> Option<usize> {
    let (one, other) = (first.getattr(name).ok()?, second.getattr(name).ok()?);
    let has = |code: &Bound<'_, PyAny>, at, value: &Bound<'_, PyAny>| word(address(code) + at) == Some(address(value));
    offsets().find(|at| has(first, *at, &one) && has(second, *at, &other))
}

/// Where two code objects have the number of their first line.
fn first_line(first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> Option<usize> {
    let number = |code: &Bound<'_, PyAny>| code.getattr("co_firstlineno").ok()?.extract::<u32>().ok();
    let (one, other) = (number(first)?, number(second)?);
    let places = (0..2 * WORDS).map(|place| place * size_of::<u32>());
    if one == other {
        return None;
    }
    places
        .skip(4)
        .find(|at| half_word(address(first) + at) == Some(one) && half_word(address(second) + at) == Some(other))
}

/// The size of an object.
fn size(object: &Bound<'_, PyAny>) -> Option<usize> {
    object.call_method0("__sizeof__").ok()?.extract().ok()
}

/// Where a string has its state, and how far in it the width of its characters is.
fn text_state(py: Python<'_>) -> Option<(usize, u32)> {
    let known = [("ab", 1 | ASCII), ("éé", 1), ("€€", 2), ("𝄞𝄞", 4)];
    let texts = known.map(|(text, expected)| (PyString::new(py, text), expected | COMPACT));
    let places = (SIZE..SIZE + WORDS).step_by(size_of::<u32>());
    let fits = |at: usize, shift: u32| {
        let fits_one = |(text, expected): &(Bound<'_, PyString>, u32)| {
            half_word(address(text.as_any()) + at).is_some_and(|state| state >> shift & 31 == *expected)
        };
        texts.iter().all(fits_one)
    };
    places.flat_map(|at| (0..27).map(move |shift| (at, shift))).find(|(at, shift)| fits(*at, *shift))
}
