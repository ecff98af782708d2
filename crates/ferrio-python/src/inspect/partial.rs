//! What is said of a block while C code keeps the interpreter's lock: one line of JSON, made without the interpreter.

use std::fmt::Write;
use std::time::Duration;

use ferrio_cpython::capi::raw_stack::{Layout, RawFrame};
use ferrio_cpython::objects::task::places_of_name;
use ferrio_sys::watching::{Describe, Phase, Pulse};
use pyo3::prelude::*;

const KEPT: &str = "the interpreter's lock is not given up, as by C code such as a regular expression or a parser";
const KEPT_BY_ANOTHER: &str =
    "another thread keeps the interpreter's lock: events have come, and the loop waits for it";

/// Describes blocks in this process.
struct Describer {
    process: u32,
    /// None if it was not found where the interpreter has its frames.
    layout: Option<Layout>,
    /// Where asyncio's own files are.
    asyncio: String,
}

/// What describes a block. The caller's two innermost Python frames must have called each other.
pub(super) fn describer(py: Python<'_>, asyncio: String) -> Describe {
    let this = Describer { process: std::process::id(), layout: Layout::find(py), asyncio };
    Box::new(move |block, pulse, lasted| this.describe(block, pulse, lasted).into_bytes())
}

impl Describer {
    fn describe(&self, block: u64, pulse: &Pulse, lasted: Duration) -> String {
        let reason = if pulse.phase() == Phase::Regaining { KEPT_BY_ANOTHER } else { KEPT };
        let task = pulse.task();
        let layout = self.layout.as_ref();
        let name = layout.filter(|_| task != 0).and_then(|layout| layout.task_name(task, places_of_name()));
        let stack = layout.and_then(|layout| layout.stack(pulse.state(), pulse.frame())).unwrap_or_default();
        let coroutine = stack.first().filter(|_| task != 0).map(|frame| frame.function.as_str());
        let mut text = String::from("{");
        // Writing to a string cannot fail.
        let _ = write!(text, "\"number\": {block}, \"pid\": {}, \"loop\": \"{:#x}\"", self.process, pulse.owner());
        let _ = write!(text, ", \"duration\": {:.6}, \"reason\": {}", lasted.as_secs_f64(), quoted(reason));
        let _ = match task {
            0 => write!(text, ", \"task\": null"),
            _ => write!(text, ", \"task\": \"{task:#x}\""),
        };
        let _ = write!(text, ", \"task_name\": {}, \"coroutine\": {}", optional(name.as_deref()), optional(coroutine));
        text.push_str(
            ", \"thread\": null, \"thread_name\": null, \"began\": null, \"created\": null, \"awaited_by\": [], \
             \"context\": []",
        );
        text.push_str(", \"ended\": false, \"partial\": true, \"samples\": 0, \"stack\": [");
        for (place, frame) in stack.iter().enumerate() {
            text.push_str(if place == 0 { "" } else { ", " });
            self.add_frame(&mut text, frame);
        }
        text.push_str("]}");
        text
    }

    fn add_frame(&self, text: &mut String, frame: &RawFrame) {
        let number = frame.line_number.map_or_else(|| String::from("null"), |number| number.to_string());
        let (function, file) = (quoted(&frame.function), quoted(&frame.file));
        let is_asyncio = frame.file.starts_with(&self.asyncio);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{{\"function\": {function}, \"file\": {file}, \"line\": {number}, \"asyncio\": {is_asyncio}}}"
        );
    }
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| String::from("null"), quoted)
}

/// A text in JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for each in text.chars() {
        match each {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            each if u32::from(each) < 0x20 => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(each));
            }
            each => quoted.push(each),
        }
    }
    quoted.push('"');
    quoted
}
