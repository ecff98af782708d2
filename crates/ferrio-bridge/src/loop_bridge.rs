//! What the bridge keeps for each event loop: its inbox, and its number among the futures of the thread.
//!
//! The loop owns the callback that reads the inbox. When it closes it drops that callback, whose destructor drops the
//! futures that are left: this holds for any loop that has `add_reader`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferrio_capsule::Functions;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::asyncio;
use crate::forks;
use crate::futures::{self, thread_number};
use crate::inbox::{Ear, Inbox, Knock, Message, Sockets};
use crate::native;
use crate::panics::{caught, drop_caught, for_python, report_unraisable};

#[pyclass(frozen, module = "ferrio_bridge")]
pub(crate) struct LoopBridge {
    event_loop: Py<PyWeakrefReference>,
    pub(crate) inbox: Arc<Inbox>,
    /// None if the loop is not one of ferrio's.
    pub(crate) native: Option<Functions>,
    /// No other loop of this process has had it.
    pub(crate) number: u64,
}

/// The callback that the loop calls while the inbox has messages, and owns.
#[pyclass(frozen, module = "ferrio_bridge", name = "InboxReader")]
struct Reader {
    bridge: Py<LoopBridge>,
    /// What has it called.
    ear: Ear,
}

/// The bridges of all loops, by loop.
static BRIDGES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

thread_local! {
    /// The bridge of the loop that last ran on this thread.
    static LAST: RefCell<Option<Py<LoopBridge>>> = const { RefCell::new(None) };
}

impl LoopBridge {
    /// The bridge of `event_loop`, which runs on this thread.
    ///
    /// # Errors
    /// Any exception of the loop's `add_reader`.
    pub(crate) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = event_loop.py();
        let last = LAST.with_borrow(|last| last.as_ref().map(|bridge| bridge.clone_ref(py)));
        if let Some(last) = last
            && last.get().event_loop.bind(py).upgrade().is_some_and(|of_last| of_last.is(event_loop))
        {
            return Ok(last);
        }
        let bridge = Self::find_or_create(event_loop)?;
        bridge.get().inbox.set_thread(thread_number());
        let before = LAST.replace(Some(bridge.clone_ref(py)));
        drop(before);
        Ok(bridge)
    }

    /// The loop, while it exists.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.bind(py).upgrade()
    }

    /// Whether the loop runs on this thread.
    pub(crate) fn is_running_here(&self, py: Python<'_>) -> bool {
        let running = native::running_loop(py);
        running.is_ok_and(|running| self.event_loop(py).is_some_and(|event_loop| event_loop.is(&running)))
    }

    /// A future of the loop that a coroutine may yield to its task.
    pub(crate) fn blocking_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop(py).ok_or_else(|| PyRuntimeError::new_err("the event loop is gone"))?;
        native::blocking_future(self.native, &event_loop)
    }

    /// Completes such a future, unless it is done: it may have been cancelled with its task.
    pub(crate) fn complete(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        native::complete(self.native, future)
    }

    #[cold]
    fn find_or_create(event_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let py = event_loop.py();
        let create = || py.import("weakref")?.getattr("WeakKeyDictionary")?.call0().map(Bound::unbind);
        let bridges = BRIDGES.get_or_try_init(py, create)?.bind(py);
        let found = bridges.call_method1(intern!(py, "get"), (event_loop,))?;
        if !found.is_none() {
            return Ok(found.cast::<Self>()?.clone().unbind());
        }
        forks::watch(py)?;
        let bridge = Self {
            event_loop: PyWeakrefReference::new(event_loop)?.unbind(),
            inbox: Arc::new(Inbox::new()),
            native: native::functions_of(event_loop)?,
            // Relaxed: only that the numbers differ matters.
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        };
        let bridge = Py::new(py, bridge)?;
        Self::listen(bridge.bind(py), event_loop)?;
        bridges.set_item(event_loop, &bridge)?;
        Ok(bridge)
    }

    /// Lets the loop read the inbox whenever it is told to.
    fn listen(bridge: &Bound<'_, Self>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (bridge.py(), bridge.get());
        if let Some(native) = this.native {
            let reader = Bound::new(py, Reader { bridge: bridge.clone().unbind(), ear: Ear::Bell })?;
            if let Some(bell) = native.hang_bell(event_loop, reader.as_any())? {
                drop(this.inbox.replace_knock(Knock::Bell(bell)));
                return Ok(());
            }
        }
        let sockets = Sockets::new()?;
        let descriptor = sockets.descriptor();
        drop(this.inbox.replace_knock(Knock::Sockets(sockets)));
        Self::watch(bridge, event_loop, descriptor)
    }

    fn watch(bridge: &Bound<'_, Self>, event_loop: &Bound<'_, PyAny>, descriptor: i32) -> PyResult<()> {
        let py = bridge.py();
        let reader = Bound::new(py, Reader { bridge: bridge.clone().unbind(), ear: Ear::Descriptor(descriptor) })?;
        // In an empty context: messages belong to no task.
        let context = py.import("contextvars")?.getattr("Context")?.call0()?;
        let add_reader = event_loop.getattr(intern!(py, "add_reader"))?;
        context.call_method1(intern!(py, "run"), (add_reader, descriptor, reader)).map(drop)
    }

    /// All bridges, if there ever was one.
    pub(crate) fn all(py: Python<'_>) -> Option<&Bound<'_, PyAny>> {
        BRIDGES.get(py).map(|bridges| bridges.bind(py))
    }

    /// Gives a loop of ferrio's, in a child process, sockets that its parent does not share. The loop itself sees to that
    /// for a bell.
    pub(crate) fn renew_inbox(bridge: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (bridge.py(), bridge.get());
        let Some(event_loop) = this.event_loop(py).filter(|_| this.native.is_some()) else { return Ok(()) };
        let Some(Ear::Descriptor(before)) = this.inbox.ear() else { return Ok(()) };
        let sockets = Sockets::new()?;
        let descriptor = sockets.descriptor();
        // Open until nothing watches it.
        let inherited = this.inbox.replace_knock(Knock::Sockets(sockets));
        Self::watch(bridge, &event_loop, descriptor)?;
        event_loop.call_method1(intern!(py, "remove_reader"), (before,))?;
        drop(inherited);
        Ok(())
    }

    fn run(&self, py: Python<'_>, message: Message) -> PyResult<()> {
        let outcome = match message {
            Message::Wake(waker) => waker.wake_here(py),
            Message::Run(code) => caught(|| code(py)).and_then(|outcome| outcome),
            Message::DropAbandoned => {
                futures::drop_abandoned(py);
                Ok(())
            }
        };
        match (outcome, self.event_loop(py)) {
            (Err(error), Some(event_loop)) => {
                asyncio::report(&event_loop, "Exception in code sent to the event loop", error);
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }
}

#[pymethods]
impl Reader {
    /// For `ferrio.testing`, which lets a simulated loop watch no other descriptor of the system's.
    #[classattr]
    #[pyo3(name = "__ferrio_bridge_inbox__")]
    const IS_INBOX: bool = true;

    fn __call__(&self, py: Python<'_>) {
        let bridge = self.bridge.get();
        bridge.inbox.set_thread(thread_number());
        for message in bridge.inbox.take() {
            if let Err(error) = for_python(py, || bridge.run(py, message)) {
                report_unraisable(py, error, None);
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            // A destructor may run while an exception is on its way.
            let pending = PyErr::take(py);
            let bridge = self.bridge.get();
            // Another has taken its place in a child process.
            if bridge.inbox.ear() == Some(self.ear) {
                drop_caught(py, bridge.inbox.close());
                futures::drop_all_of(py, bridge.number);
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}
