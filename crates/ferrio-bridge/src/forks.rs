//! Forks of the process: no other thread holds a lock of the bridge when one happens, and in the child each loop of
//! ferrio's gets an inbox of its own.
//!
//! A thread that wakes a future or sends to a loop passes a gate, which `os.fork` shuts until it is over. The sockets of
//! an inbox are shared with the parent, and either process would take the bytes that the other waits for. Other loops
//! share more than that with the parent, so on these nothing is replaced: no child can run them safely.

use std::cell::RefCell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread;
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::loop_bridge::LoopBridge;
use crate::panics::{for_python, report_unraisable};

static GATE: RwLock<()> = RwLock::new(());

/// How many milliseconds a thread waits at the gate.
const PATIENCE: u32 = 100;

thread_local! {
    /// Held by the thread that forks.
    static SHUT: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Waits for a fork that is under way; none begins while the value exists, so nothing here may take the interpreter's lock.
///
/// Not for ever: a hook of someone else's may wait, inside the fork, for a thread that waits here with that lock.
#[expect(clippy::disallowed_methods, reason = "no loop can run before the fork is over")]
pub(crate) fn pass() -> Option<RwLockReadGuard<'static, ()>> {
    for _ in 0..PATIENCE {
        match GATE.try_read() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
    None
}

/// Has the functions below called around each fork of this process.
pub(crate) fn watch(py: Python<'_>) -> PyResult<()> {
    static WATCHED: PyOnceLock<()> = PyOnceLock::new();
    let register = || {
        let hooks = PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(shut, py)?)?;
        hooks.set_item("after_in_parent", wrap_pyfunction!(open, py)?)?;
        hooks.set_item("after_in_child", wrap_pyfunction!(open_in_child, py)?)?;
        py.import("os")?.getattr("register_at_fork")?.call((), Some(&hooks)).map(drop)
    };
    WATCHED.get_or_try_init(py, register).map(drop)
}

#[pyfunction]
fn shut() {
    let guard = GATE.write().unwrap_or_else(PoisonError::into_inner);
    SHUT.set(Some(guard));
}

#[pyfunction]
fn open() {
    SHUT.set(None);
}

#[pyfunction]
fn open_in_child(py: Python<'_>) {
    open();
    let renew_all = || -> PyResult<()> {
        let Some(bridges) = LoopBridge::all(py) else { return Ok(()) };
        for bridge in bridges.call_method0(intern!(py, "values"))?.try_iter()?.collect::<PyResult<Vec<_>>>()? {
            LoopBridge::renew_inbox(bridge.cast()?)?;
        }
        Ok(())
    };
    if let Err(error) = for_python(py, renew_all) {
        report_unraisable(py, error, None);
    }
}
