"""The views as text for a terminal or a pipe: no colours, no cursor movements."""

from collections.abc import Iterable, Iterator

from ferrio.inspect._chains import Chain, ChainLink, Index, chain_of, roots
from ferrio.inspect._model import ContextValue, Frame, Holder, Primitive, Snapshot, Task, Times, Wait
from ferrio.inspect._printable import count as count, printable as printable, table as table
from ferrio.inspect._text_io import child_name, connection_name, job_name, summary

# How many chains `why` shows if no task is named.
_MOST_CHAINS = 20


# The columns that `times` makes.
TIMES = ("polls", "ran", "longest", "was ready")


def heading(snapshot: Snapshot) -> str:
    """One line about the process."""
    text = f"process {snapshot['pid']}: {printable(snapshot['program'])}, Python {snapshot['python']}, "
    text += f"{count(len(snapshot['tasks']), 'task')} on {count(len(snapshot['loops']), 'loop')}"
    return text + (f" (PARTIAL: {snapshot['reason']})" if snapshot["partial"] else "")


def place(frame: Frame | None) -> str:
    if frame is None:
        return "?"
    function = printable(frame["function"])
    return function if frame["file"] is None else f"{function} ({printable(frame['file'])}:{frame['line']})"


def ps(snapshot: Snapshot) -> Iterator[str]:
    """A line a task, with the columns of `asyncio ps` and more."""
    index = Index(snapshot)
    threads = {loop["id"]: loop["thread"] for loop in snapshot["loops"]}
    rows: list[tuple[str, ...]] = [
        (
            "tid",
            "task id",
            "task name",
            "state",
            "waits for",
            "polls",
            "ran",
            "longest",
            "was ready",
            "coroutine stack",
            "awaited by",
        )
    ]
    for task in snapshot["tasks"]:
        stack = " -> ".join(place(frame) for frame in reversed(task["stack"]))
        awaiters = ", ".join(printable(index.tasks[each]["name"]) for each in task["awaited_by"])
        thread = str(threads.get(task["loop"]) or "-")
        name = printable(task["name"])
        rows.append(
            (
                thread,
                task["id"],
                name,
                task["state"] or "unknown",
                waits_for(index, task),
                *times(task["times"]),
                stack,
                awaiters,
            )
        )
    if any(task["context"] for task in snapshot["tasks"]):
        contexts = ["context", *(context_text(task["context"]) for task in snapshot["tasks"])]
        rows = [(*row, context) for row, context in zip(rows, contexts, strict=True)]
    yield from table(rows)
    if more := summary(snapshot):
        yield f"also: {more} (`ferrio io` and `ferrio timers` show them)"
    yield from lints(snapshot)


def lints(snapshot: Snapshot) -> Iterator[str]:
    """A line for each lint."""
    for each in snapshot["lints"]:
        yield f"LINT {each['kind']}: {printable(each['text'])}"


def context_text(values: list[ContextValue]) -> str:
    """The values of context variables."""
    shown = (f"<{printable(each['type'])}>" if each["value"] is None else printable(each["value"]) for each in values)
    return ", ".join(
        f"{printable(each['name'].rpartition(':')[2])}={text}" for each, text in zip(values, shown, strict=True)
    )


def times(known: Times | None) -> tuple[str, str, str, str]:
    """How often a task ran, how long together and at most, and how long it was ready without running."""
    if known is None:
        return "?", "?", "?", "?"
    waited = "?" if known["scheduled"] is None else milliseconds(known["scheduled"])
    return str(known["polls"]), milliseconds(known["total"]), milliseconds(known["longest"]), waited


def milliseconds(seconds: float) -> str:
    """A duration as tables show it."""
    return f"{seconds * 1e3:.1f} ms"


def waits_for(index: Index, task: Task) -> str:
    """What a task waits for, in a few words."""
    wait = task["waits_for"]
    if wait is None:
        return "unknown" if task["state"] is None else "-"
    if wait["kind"] == "sleep" and wait["until"] is not None:
        return f"sleep, {max(wait['until'], 0):.1f} s more"
    if wait["primitive"] is not None:
        primitive = index.primitives.get(wait["primitive"])
        return f"{wait['kind']} {wait['primitive']}{_held(index, primitive)}"
    if wait["tasks"]:
        named = ", ".join(printable(index.tasks[each]["name"]) for each in wait["tasks"][:3] if each in index.tasks)
        more = f" and {wait['tasks_total'] - 3} more" if wait["tasks_total"] > 3 else ""
        kind = wait["kind"] if wait["kind"] != "unknown" else "task" if wait["tasks_total"] == 1 else "tasks"
        return f"{kind}: {named}{more}"
    if (job := index.jobs.get(wait["job"] or "")) is not None:
        return f"{wait['kind']}: {job_name(job)}"
    if (child := index.children.get(wait["child"] or "")) is not None:
        return f"child process {child_name(child)}"
    if (connection := index.connections.get(wait["connection"] or "")) is not None:
        return f"{wait['kind']} on {connection_name(connection)}"
    return wait["kind"]


def _held(index: Index, primitive: Primitive | None) -> str:
    if primitive is None or not primitive["holders"]:
        return ""
    names = [
        printable(index.tasks[each["task"]]["name"]) for each in primitive["holders"] if each["task"] in index.tasks
    ]
    how = primitive["holders"][0]["how"]
    return f" held by {', '.join(names[:3])}" + ("" if how == "recorded" else f" [{how}]")


def circle(names: list[str]) -> str:
    """Tasks that wait for one another."""
    return " -> ".join(printable(name) for name in [*names, *names[:1]])


def tree(snapshot: Snapshot) -> Iterator[str]:
    """Who awaits whom: below each task those that it waits for."""
    index = Index(snapshot)
    shown: set[str] = set()
    for task in roots(index):
        yield from _branch(index, task, shown)
    for task in snapshot["tasks"]:
        # Only in circles is every task awaited by another one.
        if task["id"] not in shown:
            yield from _branch(index, task, shown)


def _branch(index: Index, first: Task, shown: set[str]) -> Iterator[str]:
    pending = [(first, 0)]
    while pending:
        task, depth = pending.pop()
        again = task["id"] in shown
        where = place(task["stack"][-1] if task["stack"] else None)
        text = f"{printable(task['name'])} [{task['state'] or 'unknown'}] {where}"
        yield "    " * depth + text + (" (shown above)" if again else f" waits for {waits_for(index, task)}")
        if again:
            continue
        shown.add(task["id"])
        wait = task["waits_for"]
        below = [index.tasks[each] for each in wait["tasks"] if each in index.tasks] if wait is not None else []
        pending += [(each, depth + 1) for each in reversed(below)]


def stacks(snapshot: Snapshot) -> Iterator[str]:
    """Tasks with equal stacks together, the most frequent stack first."""
    groups: dict[tuple[str, ...], list[Task]] = {}
    for task in snapshot["tasks"]:
        key = (
            *(place(frame) for frame in task["stack"]),
            task["waits_for"]["kind"] if task["waits_for"] else task["state"] or "unknown",
        )
        groups.setdefault(key, []).append(task)
    for key, tasks in sorted(groups.items(), key=lambda each: -len(each[1])):
        names = ", ".join(printable(task["name"]) for task in tasks[:5]) + (", …" if len(tasks) > 5 else "")
        yield f"{count(len(tasks), 'task')} [{key[-1]}]: {names}"
        yield from (f"    {line}" for line in key[:-1])
    for loop in snapshot["loops"]:
        if loop["stack"] and loop["state"] == "running":
            yield f"thread {loop['thread']} ({loop['thread_name'] or '?'}), which runs loop {loop['id']}:"
            yield from (f"    {place(frame)}" for frame in loop["stack"])


def why(snapshot: Snapshot, tasks: Iterable[Task] | None = None) -> Iterator[str]:
    """Why tasks do not go on: of those named, or of all that no other task awaits."""
    index = Index(snapshot)
    if tasks is None:
        yield from _deadlocks(index)
        chosen = [task for task in roots(index) if task["id"] not in index.deadlocked]
        for task in chosen[:_MOST_CHAINS]:
            yield from chain_text(index, chain_of(index, task))
        if len(chosen) > _MOST_CHAINS:
            yield f"… and {len(chosen) - _MOST_CHAINS} more tasks that no task awaits; name one to see its chain"
        yield from lints(snapshot)
        return
    for task in tasks:
        yield from chain_text(index, chain_of(index, task))


def _deadlocks(index: Index) -> Iterator[str]:
    for deadlock in index.snapshot["deadlocks"]:
        if deadlock["has_timeout"]:
            continue
        names = [printable(index.tasks[link["task"]]["name"]) for link in deadlock["links"]]
        yield f"DEADLOCK of {count(len(names), 'task')}: {' -> '.join([*names, names[0]])}"
        yield from (
            f"    {line}" for line in chain_text(index, chain_of(index, index.tasks[deadlock["links"][0]["task"]]))
        )


def chain_text(index: Index, chain: Chain) -> Iterator[str]:
    """A chain, a line or two for each link."""
    for number, link in enumerate(chain["links"]):
        yield from (
            ("-> " if number else "") + line if not at else "   " + line for at, line in enumerate(_lines(index, link))
        )
    name = "" if chain["back_to"] is None else printable(chain["links"][chain["back_to"]]["task"]["name"])
    if chain["end"] == "deadlock":
        yield f"-> back to task '{name}': a deadlock, none of them can go on"
    elif chain["end"] == "circle":
        yield f"-> back to task '{name}': a circle that a timeout ends, or that is not certain"


def _lines(index: Index, link: ChainLink) -> Iterator[str]:
    task, wait = link["task"], link["wait"]
    inside = f" in {printable(link['inside'])}" if link["inside"] else ""
    name = f"'{printable(task['name'])}' ({printable(task['coroutine'] or '?')})"
    yield f"task {name} {_doing(task)} at {place(link['where'])}{inside}"
    if wait is not None:
        yield from _wait_lines(index, link, wait)
    if task["context"]:
        yield f"context {context_text(task['context'])}"
    yield from _creation_lines(index, task)


def _creation_lines(index: Index, task: Task) -> Iterator[str]:
    if (created := task["created"]) is not None:
        by = index.tasks.get(created["by"] or "")
        whom = "" if by is None else f" by task '{printable(by['name'])}'"
        ago = "" if task["age"] is None else f" {task['age']:.1f} s ago"
        yield f"created{whom}{ago} at {printable(created['function'])} ({printable(created['file'])}:{created['line']})"


def _wait_lines(index: Index, link: ChainLink, wait: Wait) -> Iterator[str]:
    task = link["task"]
    number = link["others"]
    others = f", and {number} other{'s' if number > 1 else ''}" if number else ""
    if link["primitive"] is not None and link["next"] is not None:
        holder = next(each for each in link["primitive"]["holders"] if each["task"] == link["next"])
        name = printable(index.tasks[link["next"]]["name"]) if link["next"] in index.tasks else link["next"]
        how = f"holds [{holder['how']}]{_since(holder)}"
        yield f"for {wait['kind']} {wait['primitive']}, which task '{name}' {how}{others}{_longest(link['primitive'])}"
    elif link["primitive"] is not None:
        yield f"for {wait['kind']} {wait['primitive']}{_nobody(link['primitive'])}{_longest(link['primitive'])}"
    elif link["next"] is not None:
        name = printable(index.tasks[link["next"]]["name"])
        yield f"for {wait['kind']}: task '{name}'{others}" + (
            " (any of them)" if wait["needs"] == "any" and others else ""
        )
    else:
        yield f"for {waits_for(index, task)}"
    if task["timeout"] is not None:
        yield f"until a timeout in {task['timeout']:.1f} s"


def _doing(task: Task) -> str:
    return {"running": "runs", "ready": "is ready to run", "waiting": "waits", None: "is"}[task["state"]]


def _since(holder: Holder) -> str:
    return "" if holder["held"] is None else f" for {holder['held']:.1f} s"


def _longest(primitive: Primitive) -> str:
    longest = primitive["longest_wait"]
    return "" if longest is None else f"; longest wait {longest:.1f} s"


def _nobody(primitive: Primitive) -> str:
    if primitive["kind"] in ("lock", "semaphore"):
        return "; its holder is not known" if primitive["locked"] else ""
    if primitive["kind"] == "event":
        return ", which is not set"
    if primitive["kind"] == "barrier" and primitive["limit"] is not None:
        return f", where {primitive['value']} of {primitive['limit']} tasks have arrived"
    if primitive["kind"] == "queue":
        limit = "" if primitive["limit"] is None else f" of {primitive['limit']}"
        return f" with {primitive['length']}{limit} items"
    return ""
