//! Who created a task, where and when.

use std::collections::HashMap;
use std::ffi::c_int;

use ferrio_engine::AddressHasher;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::number::Number;

/// How many code objects are kept with whether they are asyncio's; then they are forgotten together.
const MOST_CODES: usize = 4096;

/// How a task came to be.
pub(super) struct Creation {
    /// The task that created it, if one did.
    pub(super) by: Option<Number>,
    /// The innermost frame of its creator that is not in one of asyncio's files.
    pub(super) place: Option<Place>,
    /// The instant, in nanoseconds of the monotonic clock.
    pub(super) at: u64,
}

/// Where a frame was. Its line is looked up when somebody asks: that takes most of the time.
pub(super) struct Place {
    pub(super) code: Py<PyAny>,
    /// The instruction's offset in bytes; negative before the first instruction.
    pub(super) offset: c_int,
}

/// Which code objects are of asyncio's own files, or of ours, which stand in their place.
#[derive(Default)]
pub(super) struct Codes {
    known: HashMap<usize, (Py<PyAny>, bool), AddressHasher>,
    /// The directories of those files, with a separator at their ends.
    pub(super) asyncio: Option<Py<PyTuple>>,
}

impl Codes {
    /// `directories` have asyncio's own files and ours, and end with a separator.
    pub(super) fn new(directories: Py<PyTuple>) -> Self {
        Self { known: HashMap::default(), asyncio: Some(directories) }
    }

    pub(super) fn is_asyncio(&self, code: &Bound<'_, PyAny>) -> Option<bool> {
        self.known.get(&code.as_ptr().addr()).map(|(_, known)| *known)
    }

    /// Returns what is to be dropped outside of all borrows.
    pub(super) fn learn(
        &mut self,
        code: Py<PyAny>,
        is_asyncio: bool,
    ) -> HashMap<usize, (Py<PyAny>, bool), AddressHasher> {
        let full = self.known.len() >= MOST_CODES;
        let before = if full { std::mem::take(&mut self.known) } else { HashMap::default() };
        if self.known.try_reserve(1).is_ok() {
            self.known.insert(code.as_ptr().addr(), (code, is_asyncio));
        }
        before
    }
}
