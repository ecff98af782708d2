"""The watchdog: reports callbacks that run for too long, while they do and when they have ended.

Two native threads (`ferrio_sys::watching`) watch the loops. One of them calls `_sample`, which takes the stack of the
loop's thread during the block, and calls no code of the program. The loop's own thread calls `_ended` between two
callbacks, which is where asyncio's debug mode logs, and so does this. Functions of the program's that want the reports
are called in a Python thread of their own.
"""

import contextlib
import itertools
import json
import logging
import os
import queue
import re
import threading
import time
from asyncio.log import logger
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

from ferrio._ferrio import Watchdog, _forget_running_loops, _open_block, _running_loops, _running_task
from ferrio.inspect import _context, _recording, _threads
from ferrio.inspect._blocked import one_line, stack_text, where
from ferrio.inspect._collect import Collection
from ferrio.inspect._model import Awaiter, Block, Frame
from ferrio.inspect._objects import attribute, identifier, task_name
from ferrio.inspect._registry import loop_of, registered_tasks, tasks_of
from ferrio.inspect._stacks import (
    ASYNCIO,
    described,
    frame_of,
    is_running,
    is_shown,
    name_of,
    thread_frames,
    thread_stack,
)

# How many reports are kept.
_MOST_REPORTS = 100

# With more tasks than this, those that await the blocking one are not looked for.
_MOST_TASKS = 2000

# How many of them are named.
_MOST_AWAITERS = 20

_NO_SAMPLE = "no stack could be taken: C code kept the interpreter's lock until the callback had ended"

# Files of debuggers, in whose prompts a thread waits without blocking anything.
_DEBUGGERS = re.compile(r"(^|/)(bdb\.py|pdb\.py|(debugpy|_?pydevd\w*|pudb|ipdb)/)")

# Newest last; those that last are among them.
_reports: "deque[Block]" = deque(maxlen=_MOST_REPORTS)
_open: dict[int, "_Open"] = {}
_count = itertools.count()
_blocks = 0
_blocked_time = 0.0

_limit: float | None = None
_watchdog: Watchdog | None = None

Callback = Callable[[Block], object]
_callbacks: list[Callback] = []
# What the deliverer is to pass on; None ends it.
_deliveries: "queue.SimpleQueue[Block | None]" = queue.SimpleQueue()
# The thread that calls what `on_blocked` was given, while there is something to call, and its name.
THREAD = "ferrio-on-blocked"
_deliverer: threading.Thread | None = None
# Held while a callback comes or goes; a signal handler may do that in the middle of it.
_registration = threading.RLock()


class _Open:
    """A block that lasts."""

    def __init__(self, report: Block) -> None:
        self.report = report
        # How often each stack was seen.
        self.stacks: dict[tuple[tuple[str, str | None, int | None], ...], int] = {}
        # A debugger's prompt: nothing is reported.
        self.is_ignored = False

    def add(self, stack: list[Frame], lasted: float) -> None:
        """A further sample; the report shows the stack that was seen most often."""
        key = tuple((frame["function"], frame["file"], frame["line"]) for frame in stack)
        self.stacks[key] = self.stacks.get(key, 0) + 1
        if self.stacks[key] == max(self.stacks.values()):
            self.report["stack"] = stack
        self.report["samples"] += 1
        self.report["duration"] = lasted


def is_on() -> bool:
    """Whether it watches."""
    return _limit is not None


def begin(limit: float) -> None:
    """Watches from now on, if nothing did."""
    global _limit
    if _watchdog is None:
        _limit = limit
        try:
            resume()
        except BaseException:
            end()
            raise


def resume() -> None:
    """Starts the threads, if the watchdog is on."""
    global _watchdog
    if _limit is not None and _watchdog is None:
        # Its threads start when it is known here, whatever happens meanwhile.
        _watchdog = Watchdog()
        _start(_watchdog, _limit, _threads.native_numbers())


def _start(watchdog: Watchdog, limit: float, threads: dict[int, int]) -> None:
    # A function of its own: the watchdog learns from two frames, one of which has called the other, what frames are
    # like.
    watchdog.start(limit, _sample, _ended, threads, ASYNCIO)


def halt() -> None:
    """Ends the threads; `resume` starts them again."""
    global _watchdog
    if _watchdog is not None:
        _watchdog.stop()
        _watchdog = None


def end() -> None:
    """Watches no more. What still blocks is logged as it is known."""
    global _limit
    _limit = None
    halt()
    while _open:
        _, each = _open.popitem()
        if not each.is_ignored:
            _log(each.report)


def forget_parent() -> None:
    """In a child made by `fork`: forgets what happened in the parent."""
    global _watchdog, _deliverer, _deliveries, _registration
    _watchdog = None
    _open.clear()
    _reports.clear()
    _forget_running_loops()
    _registration = threading.RLock()
    _deliverer, _deliveries = None, queue.SimpleQueue()
    if _callbacks:
        _start_deliverer()


def publish_to(service: Any) -> None:
    """Sends the reports to the clients of a service."""
    if _watchdog is not None:
        _watchdog.publish_to(service)


def blocks() -> list[Block]:
    """The last hundred reports, newest last. A block that lasts has one too."""
    return [Block(**each) for each in list(_reports)]


def totals() -> tuple[int, float]:
    """How many blocks have ended since the process began, and how many seconds they took together."""
    return _blocks, _blocked_time


def on_blocked(callback: Callback) -> Callable[[], None]:
    """Call `callback` with a report as soon as it is known what blocks a loop, and again when the block has ended.

    It is called in a thread of its own, so the loop may still be blocked. Returns a function that ends this. Without
    `start()` there are no reports.
    """
    if not callable(callback):
        raise TypeError(f"a callable is needed, not {type(callback).__name__}")
    with _registration:
        _callbacks.append(callback)
        if _deliverer is None:
            _start_deliverer()

    def remove() -> None:
        with _registration, contextlib.suppress(ValueError):
            _callbacks.remove(callback)
            if not _callbacks:
                _end_deliverer()

    return remove


def _start_deliverer() -> None:
    global _deliverer
    # A daemon: a function that waits for something must not keep the process from its end.
    _deliverer = threading.Thread(target=_deliver, args=(_deliveries,), name=THREAD, daemon=True)
    _deliverer.start()


def _end_deliverer() -> None:
    # Not waited for: it may be the thread that is here, or call a function that takes long.
    global _deliverer, _deliveries
    ended, _deliverer, _deliveries = _deliveries, None, queue.SimpleQueue()
    ended.put(None)


def _deliver(deliveries: "queue.SimpleQueue[Block | None]") -> None:
    while (report := deliveries.get()) is not None:
        for callback in list(_callbacks):
            try:
                callback(report)
            except Exception:
                logger.exception("A callback of ferrio.inspect.on_blocked() has failed")


def _sample(owner: int, number: int, lasted: float) -> None:
    """Takes the stack of the thread that runs the loop at this address, if it is still in the same callback."""
    found = next((each for each in _running_loops() if id(each[0]) == owner), None)
    if found is None or _open_block(found[0]) != number:
        return
    loop, base = found
    task = _task_that_runs(loop)
    frame = thread_frames().get(attribute(loop, "_thread_id") or 0)
    stack = _stack(frame, task, base)
    is_debugger = _is_debugger(frame, len(stack))
    del frame
    if _open_block(loop) != number:
        # Other threads have run meanwhile: the stack may be that of a later callback.
        return
    known = _open.get(number)
    if known is None:
        known = _Open(_report(loop, number, task, lasted))
        known.is_ignored = is_debugger
        known.add(stack, lasted)
        known.report["awaited_by"] = _awaiters(task)
        _open[number] = known
        if _open_block(loop) != number:
            # It has ended in that moment, without this sample.
            _open.pop(number, None)
            return
        if not is_debugger:
            _reports.append(known.report)
            _deliver_later(known.report)
    else:
        known.is_ignored |= is_debugger
        known.add(stack, lasted)
    if not known.is_ignored:
        _publish(known.report, stack)


def _ended(loop: Any, number: int, lasted: float, task: Any) -> None:
    """A block has ended; this is the loop's own thread."""
    global _blocks, _blocked_time
    known = _open.pop(number, None)
    if known is None:
        known = _Open(_without_sample(loop, number, task, lasted))
        _reports.append(known.report)
    if known.is_ignored:
        return
    report = known.report
    report["duration"] = lasted
    report["ended"] = True
    _blocks += 1
    _blocked_time += lasted
    _publish(report, report["stack"])
    _deliver_later(report)
    _log(report)


def _report(loop: Any, number: int, task: Any, lasted: float) -> Block:
    created = None if task is None else _recording.creation_of(task, _Everything())[0]
    thread = attribute(loop, "_thread_id")
    coroutine = None if task is None else attribute(task, "_coro")
    return Block(
        number=number,
        pid=os.getpid(),
        loop=identifier(loop),
        thread=thread,
        thread_name=_threads.names().get(thread),
        began=time.time() - lasted,
        duration=lasted,
        ended=False,
        partial=False,
        reason=None,
        task=None if task is None else identifier(task),
        task_name=None if task is None else task_name(task),
        coroutine=None if coroutine is None else name_of(coroutine),
        created=created,
        awaited_by=[],
        context=[] if task is None else _context.values_of(task),
        stack=[],
        samples=0,
    )


class _Everything:
    """Contains the identifier of every task: whether the creator still is there does not matter."""

    def __contains__(self, _: object) -> bool:
        return True


def _without_sample(loop: Any, number: int, task: Any, lasted: float) -> Block:
    """The report of a block that has ended before a sample could be taken."""
    report = _report(loop, number, task, lasted)
    report["partial"] = True
    report["reason"] = _NO_SAMPLE
    said = _watchdog.take_partial(number) if _watchdog is not None else None
    if said is not None:
        seen: Block = json.loads(said)
        report["stack"], report["reason"] = seen["stack"], seen["reason"]
    return report


def _task_that_runs(loop: Any) -> Any:
    """The task whose coroutine runs: ferrio's, or one of asyncio's own on this loop."""
    if (task := _running_task(loop)) is not None:
        return task
    for each in [*registered_tasks()[:_MOST_TASKS], *tasks_of(loop)[:_MOST_TASKS]]:
        coroutine = attribute(each, "_coro")
        if coroutine is not None and loop_of(each) is loop and is_running(coroutine):
            return each
    return None


def _stack(frame: FrameType | None, task: Any, base: int) -> list[Frame]:
    """The stack of the callback that runs: without what has called the loop."""
    coroutine = None if task is None else attribute(task, "_coro")
    outermost = None if coroutine is None else frame_of(coroutine)
    if outermost is not None:
        stack = thread_stack(frame, outermost.f_code)
        if stack and stack[0]["function"] == outermost.f_code.co_qualname:
            return stack
    depth, each = 0, frame
    while each is not None and id(each) != base:
        depth, each = depth + 1, each.f_back
    return thread_stack(frame)[-depth:] if each is not None and depth else thread_stack(frame)


def _is_debugger(frame: FrameType | None, depth: int) -> bool:
    for _ in range(depth):
        if frame is None:
            break
        if _DEBUGGERS.search(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def _awaiters(task: Any) -> list[Awaiter]:
    """The tasks that await this one, and those that await them, nearest first, if there are not too many to look at."""
    if task is None or len(registered_tasks()) > _MOST_TASKS:
        return []
    collection = Collection(lints=False)
    for _ in collection.slices():
        pass
    found: list[Awaiter] = []
    seen, names = {identifier(task)}, [identifier(task)]
    while names and len(found) < _MOST_AWAITERS:
        for name in collection.awaiters(names.pop(0)):
            look = collection.looks.get(name)
            if name not in seen and look is not None:
                seen.add(name)
                names.append(name)
                shown = [each for each in look.coroutines if is_shown(each)]
                place = described(shown[-1]) if shown else None
                found.append(Awaiter(task=name, name=task_name(look.task), where=place))
    return found


def _publish(report: Block, stack: list[Frame]) -> None:
    watchdog = _watchdog
    if watchdog is not None:
        watchdog.publish(json.dumps({**report, "stack": stack}).encode())


def _deliver_later(report: Block) -> None:
    if _callbacks:
        _deliveries.put(Block(**report))


def _log(report: Block) -> None:
    """One record, as if it came from the line that blocks; `record.ferrio_block` is the report."""
    if not logger.isEnabledFor(logging.WARNING):
        return
    last = where(report)
    record = logger.makeRecord(
        logger.name,
        logging.WARNING,
        "" if last is None or last["file"] is None else last["file"],
        0 if last is None or last["line"] is None else last["line"],
        "%s",
        (one_line(report),),
        None,
        None if last is None else last["function"],
        {"ferrio_block": Block(**report)},
        "\n".join(stack_text(report)) or None,
    )
    logger.handle(record)
