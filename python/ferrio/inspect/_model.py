"""What a snapshot holds: plain data, as it goes over the socket and into JSON.

`null` (None) always means "unknown": what cannot be known is said, never guessed. Identifiers are the addresses of the
objects, which are unique among what is alive at one time. No arguments or locals are ever in it, and of context values
only those that the program has named.
"""

from typing import Any, Literal, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

from ferrio.inspect._model_io import Child, Connection, Job, LeftOff, Server, Timer

# Grows with each change that a reader of older snapshots would notice.
SCHEMA_VERSION = 3


class Frame(TypedDict):
    """One function on a stack. `file` and `line` are None for functions without a Python frame."""

    function: str
    file: str | None
    line: int | None
    # A function of asyncio's, in Python or in Rust.
    asyncio: bool


class Wait(TypedDict):
    """What a task waits for."""

    # "lock", "semaphore", "condition", "event", "barrier", "queue get", "queue put", "queue join", "task", "gather",
    # "wait", "wait_for", "shield", "task group", "as_completed", "sleep", "executor", "child", "stream read",
    # "stream drain", "future", "unknown"
    kind: str
    # The identifier of a primitive in `primitives`.
    primitive: str | None
    # The tasks that are waited for, at most a thousand of them, and how many there are.
    tasks: list[str]
    tasks_total: int
    # Whether all of them have to end, or any of them.
    needs: Literal["all", "any"] | None
    # When a sleep ends, in seconds from the snapshot.
    until: float | None
    # The identifiers of a job in `jobs`, of a connection in `connections` and of a child process in `children`.
    job: str | None
    connection: str | None
    child: str | None


class Creation(TypedDict):
    """Who created a task, and where."""

    by: str | None
    function: str
    file: str
    line: int


class Waker(TypedDict):
    """Who has made a task ready to run."""

    # "outside" is code that runs in no callback of the loop: before it runs, or in another thread.
    kind: Literal["task", "callback", "outside"]
    # None if the task is done, and for the other kinds.
    task: str | None


class Times(TypedDict):
    """A task's times, in seconds, since it was created."""

    # How often it ran, how long together, and how long at most.
    polls: int
    total: float
    longest: float
    # How long it was ready without running; None if another kind of loop runs it.
    scheduled: float | None
    # How often it became ready, and who did that last.
    wakeups: int
    woken_by: Waker | None


class ContextValue(TypedDict):
    """The value of a context variable that the program has named for inspection."""

    name: str
    # Its class, and the value as Python writes it; None for what is not of a plain type. Long ones are cut.
    type: str
    value: str | None


class Task(TypedDict):
    """A task that is not done."""

    id: str
    name: str
    type: str | None
    loop: str
    coroutine: str | None
    state: Literal["running", "ready", "waiting"] | None
    # From the coroutine that the task drives to the innermost function that waits.
    stack: list[Frame]
    waits_for: Wait | None
    awaited_by: list[str]
    # Seconds until a timeout around what the task does cancels it.
    timeout: float | None
    has_timeout: bool | None
    # None for tasks created before inspection began.
    created: Creation | None
    # In seconds.
    age: float | None
    # None for tasks created before inspection began, and for asyncio's own.
    times: Times | None
    # Only variables that the program has named, as far as they are set.
    context: list[ContextValue]


class Holder(TypedDict):
    """A task that holds a primitive, and how this is known."""

    task: str
    how: Literal["recorded", "inferred"]
    function: str | None
    file: str | None
    line: int | None
    # For how long, in seconds.
    held: float | None


class Primitive(TypedDict):
    """A lock or something else that tasks wait for."""

    id: str
    kind: str
    type: str
    locked: bool | None
    # What is left of a semaphore, 1 for an event that is set, how many tasks are inside a barrier.
    value: int | None
    holders: list[Holder]
    # Waiting tasks, in their order; for queues, `waiters` has the getters.
    waiters: list[str]
    putters: list[str]
    length: int | None
    # Of a queue the most items, of a bounded semaphore its first value, of a barrier how many tasks pass together.
    limit: int | None
    # How long a task has waited for it at most, in seconds, since inspection began; those that wait now count. None
    # while it is off, for primitives of asyncio's own, and while a task waits that has begun to before.
    longest_wait: float | None


class Delay(TypedDict):
    """How long events had to wait until a loop looked for them, sampled several times within the watchdog's limit."""

    # The upper bounds of the buckets in seconds; `counts` has one more, for what took longer.
    bounds: list[float]
    counts: list[int]
    # In seconds.
    sum: float
    longest: float


class Awaiter(TypedDict):
    """A task that waits for the one that blocks, and where."""

    task: str
    name: str
    where: Frame | None


class Block(TypedDict):
    """A callback that has run for too long."""

    number: int
    pid: int
    loop: str
    thread: int | None
    thread_name: str | None
    # Seconds since the epoch.
    began: float | None
    # In seconds: up to now, or the whole if it has ended.
    duration: float
    ended: bool
    # The stack was read without the interpreter's lock, or is not known; `reason` says why.
    partial: bool
    reason: str | None
    # The task that ran; None for another callback.
    task: str | None
    task_name: str | None
    coroutine: str | None
    created: Creation | None
    awaited_by: list[Awaiter]
    # As in the task's record.
    context: list[ContextValue]
    # From the task's coroutine, or from the callback, to the innermost function.
    stack: list[Frame]
    # How often the stack was taken. `stack` is the one seen most often.
    samples: int


class Loop(TypedDict):
    """An event loop that has tasks or runs."""

    id: str
    type: str | None
    state: Literal["running", "stopped", "closed"] | None
    thread: int | None
    thread_name: str | None
    debug: bool | None
    ready: int | None
    timers: int | None
    tasks: int
    # The share of its running time in which it did not sleep, how often it has slept, and how many descriptors it
    # watches; None for loops that are not ferrio's.
    utilisation: float | None
    sleeps: int | None
    # How often it has asked the system for events, with sleep or without, since inspection began; None if it did not
    # run since then.
    polls: int | None
    descriptors: int | None
    # The Python stack of its thread while it runs.
    stack: list[Frame]
    # None for loops that the watchdog has not watched.
    delay: Delay | None


class Link(TypedDict):
    """One link of a circle: a task, and the primitive or the task that it waits for."""

    task: str
    primitive: str | None
    waits_for: str
    how: Literal["recorded", "inferred"] | None


class Deadlock(TypedDict):
    """Tasks that wait for each other in a circle. Every link was seen twice, so that all of them held at one time."""

    links: list[Link]
    # A timeout around one of them ends the circle.
    has_timeout: bool


class Lint(TypedDict):
    """Something that is wrong with the program, though it runs."""

    kind: Literal["lost exception", "lost task", "spinning task", "held lock", "growing queue", "growing tasks"]
    # One sentence.
    text: str
    # The tasks that it is about, at most ten of them, and how many there are.
    tasks: list[str]
    tasks_total: int
    primitive: str | None
    # Where the tasks were created, or where the one stands that has to let go.
    where: Frame | None
    # In seconds.
    lasts: float | None


class Thread(TypedDict):
    """A thread as the system sees it, in partial snapshots only. `state` is a letter of proc(5)."""

    number: int
    name: str
    state: str


class Snapshot(TypedDict):
    """A process."""

    schema: int
    # The process did not answer: its memory was read, which tells the tasks, their stacks and who awaits whom.
    outside: NotRequired[bool]
    # Not everything could be collected; `reason` says why.
    partial: bool
    reason: str | None
    pid: int
    program: str
    python: str
    ferrio: str | None
    installed: bool | None
    # Seconds since the epoch, and how long collecting took.
    time: float
    took: float
    # Seconds since inspection began; None if it is off.
    inspecting: float | None
    loops: list[Loop]
    tasks: list[Task]
    primitives: list[Primitive]
    deadlocks: list[Deadlock]
    # The last hundred blocks, newest last.
    blocks: list[Block]
    # Only of loops whose descriptors are known: ferrio's, and asyncio's own.
    connections: list[Connection]
    servers: list[Server]
    children: list[Child]
    # Of all thread pools.
    jobs: list[Job]
    # Of ferrio's loops and asyncio's own, the soonest first.
    timers: list[Timer]
    # At most ten thousand entries are in each of these lists.
    left_off: LeftOff
    # At most a hundred. What needs recording, or several looks, is found while inspection is on only.
    lints: list[Lint]
    threads: NotRequired[list[Thread]]


def schema() -> dict[str, Any]:
    """The JSON schema of a snapshot (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_of(Snapshot)}


def _of(kind: Any) -> dict[str, Any]:
    if is_typeddict(kind):
        hints = get_type_hints(kind)
        return {
            "type": "object",
            "title": kind.__name__,
            "description": kind.__doc__,
            "properties": {name: _of(hint) for name, hint in hints.items()},
            "required": sorted(kind.__required_keys__),
        }
    if get_origin(kind) is list:
        return {"type": "array", "items": _of(get_args(kind)[0])}
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_args(kind):
        return {"anyOf": [_of(each) for each in get_args(kind)]}
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    return {"type": names[kind]}
