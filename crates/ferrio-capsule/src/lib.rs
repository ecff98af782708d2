//! How other extensions reach the event loops of the Python package ferrio: a table of C functions in a capsule.
//!
//! ferrio's extension module offers a [`Table`] in its attribute [`ATTRIBUTE`]; [`Functions::open`] checks the version
//! and the size, and has a safe method for each function. The two sides are compiled apart, so only C's types cross.
//!
//! Versions: the first number changes with what a function takes or does, and with the order of the fields; the second
//! grows with functions at the end. A side may be used with a table of the same first number and at least its second.

mod functions;
mod interpreter;
mod table;

pub use functions::{Bell, Functions, Mismatch, capsule};
pub use interpreter::is_main_interpreter;
pub use table::{ATTRIBUTE, Header, NAME, RawBell, Table, VERSION};
