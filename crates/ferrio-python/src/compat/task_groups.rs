//! Where the task groups of the running Python differ from those of others: patch releases changed them too, so
//! asyncio's own code is asked.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

const CO_VARKEYWORDS: u32 = 8;

/// What the running Python's task groups do.
pub(crate) struct Behavior {
    pub(crate) keywords: Keywords,
    /// A coroutine that `create_task` refuses is closed.
    pub(crate) closes_refused: bool,
    /// `create_task` asks to be told of a task before it keeps it.
    pub(crate) watches_first: bool,
    /// A task that is done when `create_task` has made it tells the group at once.
    pub(crate) tells_at_once: bool,
    /// Tasks know that the parent waits for them.
    pub(crate) notes_waiter: bool,
    /// The parent's cancellation by the group is taken back before the group waits, not after.
    pub(crate) uncancels_first: bool,
    /// Subclasses of `CancelledError` cancel, too.
    pub(crate) knows_subclasses: bool,
    /// A parent that is being cancelled while tasks failed is cancelled again.
    pub(crate) cancels_again: bool,
    /// A task that began at once and is not done when the group is being aborted is cancelled.
    pub(crate) cancels_late_tasks: bool,
    /// A cancellation of the parent that is not the group's comes out although the group cancelled it as well.
    pub(crate) keeps_outer_cancellation: bool,
    /// A `GeneratorExit` of the block comes out as it is if nothing else went wrong.
    pub(crate) lets_generators_close: bool,
    /// `__aexit__` gives True, whatever the block raised: what is to come out it raises itself.
    pub(crate) suppresses: bool,
    /// A group that was left forgets its parent and the errors.
    pub(crate) forgets: bool,
}

/// What `create_task` does with its keyword arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keywords {
    /// The context is passed on if there is one, and the name is set afterwards.
    NameAfterwards,
    /// The name is passed on, and the context if there is one.
    NameAndContext,
    /// Everything is passed on.
    PassOn,
}

/// The running Python's style.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub(crate) fn behavior(py: Python<'_>) -> PyResult<&'static Behavior> {
    static CELL: PyOnceLock<Behavior> = PyOnceLock::new();
    CELL.get_or_try_init(py, || find(py))
}

#[cold]
fn find(py: Python<'_>) -> PyResult<Behavior> {
    let stock = py.import(name!("asyncio.taskgroups"))?.getattr(name!("TaskGroup"))?;
    let code = |method: &str| stock.getattr(method)?.getattr(name!("__code__"));
    let names = |code: &Bound<'_, PyAny>| code.getattr(name!("co_names"))?.extract::<Vec<String>>();
    let create_task = code("create_task")?;
    let takes_any = create_task.getattr(name!("co_flags"))?.extract::<u32>()? & CO_VARKEYWORDS != 0;
    let creating = names(&create_task)?;
    let forgets = stock.hasattr(name!("_aexit"))?;
    let uses = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
    let cancels_late_tasks = uses(&creating, "cancel");
    // What cancels late tasks asks whether they are done, and does no more.
    let tells_at_once = uses(&creating, "done") && !cancels_late_tasks;
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
        tells_at_once,
        watches_first: uses(&creating, "_set_task_name") && !tells_at_once,
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
