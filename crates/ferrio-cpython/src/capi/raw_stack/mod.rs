//! Reads a thread's Python stack without the interpreter's lock, while that lock is kept by C code.
//!
//! Nothing is dereferenced: all is copied by a system call that checks each address (`ferrio_sys::memory`), so what has
//! changed or gone meanwhile is an error or wrong text, never a crash. Where the interpreter keeps things is found out
//! once, with the lock held, from frames and strings that are known (`layout`); what is not found as expected means that
//! there are no raw stacks. A stack is read twice, and both must agree.

mod layout;
mod lines;
pub(super) mod words;

pub use layout::Layout;
#[cfg(Py_3_13)]
pub(super) use layout::innermost;

use ferrio_sys::memory;
use words::{half_word, word};

/// Longer stacks are cut.
const LONGEST: usize = 200;

/// Frames that are no Python function's, between two that are, at most.
const MOST_OTHERS: usize = 1000;

/// What 3.12 has between functions of Python that C code calls, with a code object of its own.
const TRAMPOLINE: &str = "<interpreter trampoline>";

/// Longer texts are cut.
const LONGEST_TEXT: usize = 4096;

/// Longer tables are not read.
const LONGEST_TABLE: usize = 1 << 20;

/// One function on a stack.
#[derive(Debug)]
pub struct RawFrame {
    /// Its qualified name.
    pub function: String,
    /// The file, as the code says.
    pub file: String,
    /// The line that runs.
    pub line_number: Option<i64>,
}

/// A function that runs: its code, and the place in it.
type Place = (usize, usize);

impl Layout {
    /// The stack of the thread with this state, outermost first, from the frame after `base` on, which is the address of
    /// a frame object or 0 for the whole.
    #[must_use]
    pub fn stack(&self, state: usize, base: usize) -> Option<Vec<RawFrame>> {
        let base = if base == 0 { 0 } else { word(base + self.frame)? };
        let places = self.places(state, base)?;
        if places != self.places(state, base)? {
            return None;
        }
        let mut stack: Vec<_> = places.into_iter().rev().map(|place| self.described(place)).collect::<Option<_>>()?;
        stack.retain(|frame| frame.function != TRAMPOLINE);
        Some(stack)
    }

    /// The functions that run, innermost first.
    fn places(&self, state: usize, base: usize) -> Option<Vec<Place>> {
        let mut found = Vec::new();
        let mut frame = self.innermost(state)?;
        for _ in 0..MOST_OTHERS {
            if frame == 0 || frame == base || found.len() == LONGEST {
                break;
            }
            let code = word(frame + self.executable)? & !layout::TAGS;
            if code != 0 && word(code + layout::TYPE)? == self.code_type {
                found.push((code, word(frame + self.instruction)?));
            }
            frame = word(frame + self.previous)?;
        }
        Some(found)
    }

    /// The name of the ferrio task at this address, which has its name and its number at these distances.
    #[must_use]
    pub fn task_name(&self, task: usize, (name, number): (usize, usize)) -> Option<String> {
        match (word(task + name)?, word(task + number)?) {
            (0, 0) => None,
            (0, number) => Some(format!("Task-{number}")),
            (name, _) => self.text(name),
        }
    }

    fn described(&self, (code, instruction): Place) -> Option<RawFrame> {
        let function = self.text(word(code + self.name)?)?;
        let file = self.text(word(code + self.file)?)?;
        let first = i64::from(half_word(code + self.first_line)?.cast_signed());
        let table = self.bytes(word(code + self.line_table)?)?;
        let line_number =
            instruction.checked_sub(code + self.instructions).and_then(|at| lines::line_at(&table, first, at));
        Some(RawFrame { function, file, line_number })
    }

    /// The content of a bytes object.
    fn bytes(&self, object: usize) -> Option<Vec<u8>> {
        let length = word(object + layout::SIZE)?;
        if length > LONGEST_TABLE {
            return None;
        }
        let mut bytes = vec![0; length];
        memory::read(object + self.bytes_content, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The text of a string object.
    #[must_use]
    pub fn text(&self, object: usize) -> Option<String> {
        let length = word(object + layout::SIZE)?.min(LONGEST_TEXT);
        let state = half_word(object + self.text_state)? >> self.kind_shift;
        let (width, is_ascii) = (state & 7, state & layout::ASCII != 0);
        let content = object + if is_ascii { self.ascii_content } else { self.text_content };
        let mut bytes = vec![0; length * width as usize];
        memory::read(content, &mut bytes).ok()?;
        let characters = bytes.chunks_exact(width.max(1) as usize).map(|unit| {
            let number = unit.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
            char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        matches!(width, 1 | 2 | 4).then(|| characters.collect())
    }
}
