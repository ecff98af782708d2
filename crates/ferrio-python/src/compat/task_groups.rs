//! How the running Python's task groups behave: patch releases change them too, so asyncio's own code is inspected.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

const CO_VARKEYWORDS: u32 = 8;

/// The behaviour of the running Python's task groups.
pub(crate) struct Behavior {
    pub(crate) keywords: Keywords,
    /// Whether a coroutine that `create_task` refuses is closed.
    pub(crate) closes_refused: bool,
    /// Whether `create_task` adds the done callback to a task before it adds the task to its set.
    pub(crate) watches_first: bool,
    /// Whether a task that is already done after its creation is reported to the group immediately.
    pub(crate) calls_back_at_once: bool,
    /// Whether tasks record in the call graph that the parent waits for them.
    pub(crate) notes_waiter: bool,
    /// Whether the parent is uncancelled before the group waits instead of after.
    pub(crate) uncancels_first: bool,
    /// Whether subclasses of `CancelledError` count as cancellation.
    pub(crate) knows_subclasses: bool,
    /// Whether a parent that is being cancelled while tasks failed is cancelled again.
    pub(crate) cancels_again: bool,
    /// Whether a task that started eagerly is cancelled if it is not done and the group is aborting.
    pub(crate) cancels_late_tasks: bool,
    /// Whether a cancellation of the parent from elsewhere is raised even if the group cancelled it as well.
    pub(crate) keeps_outer_cancellation: bool,
    /// Whether a `GeneratorExit` of the block is raised unchanged if nothing else failed.
    pub(crate) lets_generators_close: bool,
    /// Whether `__aexit__` returns True whatever the block raised; it then raises the exception itself if necessary.
    pub(crate) suppresses: bool,
    /// Whether a group that was left drops its parent and its errors.
    pub(crate) forgets: bool,
}

/// How `create_task` passes on its keyword arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keywords {
    /// Passes the context if there is one, and sets the name afterwards.
    NameAfterwards,
    /// Passes the name, and the context if there is one.
    NameAndContext,
    /// Passes all keyword arguments.
    PassOn,
}

/// The behaviour of the running Python.
///
/// # Errors
/// `ImportError` if asyncio cannot be imported.
pub(crate) fn behavior(py: Python<'_>) -> PyResult<&'static Behavior> {
    static CELL: PyOnceLock<Behavior> = PyOnceLock::new();
    CELL.get_or_try_init(py, || find(py))
}

#[cold]
fn find(py: Python<'_>) -> PyResult<Behavior> {
    let stock = ferrio_cpython::module(py, name!("asyncio.taskgroups"))?.getattr(name!("TaskGroup"))?;
    let code = |method: &str| stock.getattr(method)?.getattr(name!("__code__"));
    let names = |code: &Bound<'_, PyAny>| code.getattr(name!("co_names"))?.extract::<Vec<String>>();
    let create_task = code("create_task")?;
    let takes_any = create_task.getattr(name!("co_flags"))?.extract::<u32>()? & CO_VARKEYWORDS != 0;
    let creating = names(&create_task)?;
    let forgets = stock.hasattr(name!("_aexit"))?;
    let uses = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
    let cancels_late_tasks = uses(&creating, "cancel");
    // The code that cancels late tasks also calls `done`, but for nothing else.
    let calls_back_at_once = uses(&creating, "done") && !cancels_late_tasks;
    let leaving_code = code(if forgets { "_aexit" } else { "__aexit__" })?;
    let leaving = names(&leaving_code)?;
    let place = |wanted: &str| leaving.iter().position(|name| name == wanted);
    let variables = leaving_code.getattr(name!("co_varnames"))?.extract::<Vec<String>>()?;
    Ok(Behavior {
        keywords: if takes_any {
            Keywords::PassOn
        } else if uses(&creating, "_set_task_name") {
            Keywords::NameAfterwards
        } else {
            Keywords::NameAndContext
        },
        closes_refused: uses(&creating, "close"),
        calls_back_at_once,
        watches_first: uses(&creating, "_set_task_name") && !calls_back_at_once,
        notes_waiter: uses(&creating, "future_add_to_awaited_by"),
        uncancels_first: place("uncancel") < place("create_future"),
        knows_subclasses: uses(&leaving, "issubclass"),
        cancels_again: uses(&leaving, "cancelling"),
        cancels_late_tasks,
        keeps_outer_cancellation: uses(&variables, "pending_cancellation_error"),
        lets_generators_close: uses(&leaving, "GeneratorExit"),
        suppresses: stock.hasattr(name!("cancel"))?,
        forgets,
    })
}
