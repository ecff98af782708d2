"""`start()` and `stop()`: the socket through which the command `ferrio` asks, and its threads.

The threads are native (`ferrio_sys::inspection`): one listens, another one calls `_answer`. They end before a fork and
begin again after it in the parent; the child gets a socket of its own. They end before the interpreter does.
"""

import atexit
import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from ferrio._ferrio import InspectionService, __version__, _forget_flight, _forget_running_jobs
from ferrio.inspect import (
    _context,
    _dumps,
    _flight,
    _lint_watch,
    _lints,
    _recorded_loop,
    _recording,
    _threads,
    _trace,
    _watching,
)
from ferrio.inspect._collect import SLICE, Collection, empty_snapshot
from ferrio.inspect._lint_limits import LintLimits
from ferrio.inspect._metrics import metrics
from ferrio.inspect._model import SCHEMA_VERSION
from ferrio.inspect._socket import listen

_NO_PROGRESS = (
    "C code, such as a regular expression or a parser, has kept the interpreter's lock since the request came"
)

# The system has it for "no user".
_NO_USER = 0xFFFFFFFF

# Re-entrant: a signal handler may call `start()` or `stop()` while one of them runs.
_lock = threading.RLock()
_served: "_Served | None" = None
_watches_process = False


class _Served:
    """A socket with its threads."""

    def __init__(self, path: str | None, allowed: tuple[int, ...]) -> None:
        self.wanted = path
        self.allowed = allowed
        self.process = os.getpid()
        self.listener: socket.socket | None = None
        self.path = ""
        self.service: InspectionService | None = None

    def open(self) -> None:
        """Makes the socket and starts the threads; after an error, `close` ends what has begun."""
        self.listener, self.path = listen(self.wanted, self.allowed)
        self.run()

    def run(self) -> None:
        """Starts the threads."""
        assert self.listener is not None
        greeting = json.dumps({"schema": SCHEMA_VERSION, **_process()}).encode()
        unknown = {name: value for name, value in empty_snapshot(_NO_PROGRESS).items() if name != "blocks"}
        partial = json.dumps(unknown)[:-1].encode()
        # Its threads start when it is known here, whatever happens meanwhile.
        self.service = InspectionService()
        self.service.start(self.listener.fileno(), list(self.allowed), greeting, partial, _answer)
        _watching.publish_to(self.service)

    def halt(self) -> None:
        """Ends the threads; clients can still connect, and wait."""
        if self.service is not None:
            try:
                _watching.publish_to(None)
            finally:
                self.service.stop()
                self.service = None

    def close(self) -> None:
        """Ends the threads and removes the socket, if it is this process's."""
        self.halt()
        if self.listener is None:
            return
        self.listener.close()
        if self.process == os.getpid():
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def start(
    path: str | os.PathLike[str] | None = None,
    *,
    allow_uid: Iterable[int] = (),
    blocked: float | None = 0.1,
    recorder: int = _recording.RECORDER,
    context: Iterable[ContextVar[Any] | str] = (),
    lints: bool | LintLimits = False,
    record: str | os.PathLike[str] | None = None,
    record_bytes: bool = False,
) -> str:
    """Begin to record, and to answer the command `ferrio` on a Unix socket; returns its path.

    This user and root may ask, and the users `allow_uid`, who need a `path` that they can reach. Without a path the
    socket is where `ferrio list` looks. A callback that keeps its loop from going on for more than `blocked` seconds is
    reported; None reports none. The flight recorder, from which `trace()` is made, keeps the last `recorder` events of
    each loop, of 48 bytes each. The values of the variables of `context` are shown with each task: `ContextVar`
    objects, or their names as "module:variable". With `lints`, a thread looks for lints every few seconds and logs a
    warning for each; `LintLimits` says how often, and from when on. If the socket is served already, none of this
    changes.

    With `record`, what happens to the next loop that this thread runs is written to that file until `stop()`, for
    `ferrio.testing.replay`; with `record_bytes`, also what its connections receive. Raises OSError if the file cannot
    be made, and RuntimeError if this thread runs a loop already or its next one has another recording.
    """
    global _served
    with _lock:
        if _served is None:
            _recording.check(recorder)
            variables = _context.check(context)
            allowed = tuple(allow_uid)
            if not all(isinstance(each, int) and 0 <= each < _NO_USER for each in allowed):
                raise ValueError("allow_uid has numbers of users")
            _watch_process()
            # What is on without the socket goes on if the socket cannot be served.
            ends = [
                _end_looks,
                *([] if _recording.is_on() else [_recording.end]),
                *([] if _watching.is_on() else [_watching.end]),
                _end_service,
            ]
            _served = _Served(None if path is None else os.fspath(path), allowed)
            try:
                _served.open()
                _context.show(variables)
                _lints.restrict(lints if isinstance(lints, LintLimits) else LintLimits())
                _recording.begin(recorder)
                if blocked is not None:
                    _watching.begin(blocked)
                    _watching.publish_to(_served.service)
                if lints:
                    _lint_watch.begin()
                if record is not None:
                    _recorded_loop.begin(record, record_bytes)
            except BaseException:
                _call_all(ends)
                raise
        elif record is not None:
            _recorded_loop.begin(record, record_bytes)
        return _served.path


def is_on() -> bool:
    """Whether the socket is served."""
    return _served is not None


def watch(limit: float) -> None:
    """Reports blocks, without a socket, until `stop()`."""
    with _lock:
        _watch_process()
        _watching.begin(limit)


def record_flight(recorder: int) -> None:
    """Records, without a socket, until `stop()`."""
    with _lock:
        _watch_process()
        _recording.begin(recorder)


def stop() -> None:
    """End that, and forget what was recorded, but not `blocks()`. Without `start()` before it, it does nothing."""
    with _lock:
        _call_all((_dumps.end, _end_looks, _recorded_loop.end, _recording.end, _watching.end, _end_service))


def _call_all(parts: Sequence[Callable[[], None]], place: int = 0) -> None:
    """Ends all parts, whichever of them has no memory for it; a further `stop()` ends what is left."""
    try:
        parts[place]()
    finally:
        if place + 1 < len(parts):
            _call_all(parts, place + 1)


def _end_looks() -> None:
    """Looks for lints no more, and shows no context variables."""
    try:
        _lint_watch.end()
    finally:
        _lints.forget()
        _context.forget()


def _end_service() -> None:
    """Again if that has failed."""
    global _served
    if _served is not None:
        _served.close()
        _served = None


def _watch_process() -> None:
    global _watches_process
    if not _watches_process:
        atexit.register(stop)
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )
        _watches_process = True


def _before_fork() -> None:
    _lock.acquire()
    _watching.halt()
    _lint_watch.halt()
    if _served is not None:
        _served.halt()


def _after_fork_in_parent() -> None:
    try:
        _watching.resume()
        _lint_watch.resume()
        if _served is not None:
            _served.run()
    finally:
        _lock.release()


def _after_fork_in_child() -> None:
    global _served
    parents, _served = _served, None
    try:
        _forget_flight()
        _forget_running_jobs()
        _dumps.forget_parent()
        _recorded_loop.end()
        _watching.forget_parent()
        _watching.resume()
        _lint_watch.resume()
        if parents is not None:
            if parents.listener is not None:
                parents.listener.close()
            path = None if parents.wanted is None else f"{parents.wanted}.{os.getpid()}"
            _served = _Served(path, parents.allowed)
            try:
                _served.open()
            except BaseException:
                _end_service()
                raise
    finally:
        _lock.release()


def _process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "program": _threads.program(),
        "python": sys.version.split()[0],
        "ferrio": __version__,
    }


def _answer(request: bytes) -> bytes:
    """The answer to a request, both one line of JSON."""
    try:
        asked = json.loads(request)
        view = asked.get("view") if isinstance(asked, dict) else None
        if view == "metrics":
            return json.dumps({"schema": SCHEMA_VERSION, "metrics": metrics()}).encode()
        if view == "trace":
            return b"".join(_trace_parts(asked))
        if view != "snapshot":
            return _error("the request is not understood: another version of ferrio may have sent it")
        return b"".join(_parts(Collection()))
    except _Ending:
        return _error("the process ends, or forks all the time")
    except ValueError:
        return _error("the request is not JSON")
    except Exception as error:
        return _error(f"the snapshot failed: {type(error).__name__}")


class _Ending(Exception):
    """The service is to end."""


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


def _parts(collection: Collection) -> Iterator[bytes]:
    """A snapshot as JSON. Other threads run between its parts, none of which takes long."""
    for _ in collection.slices():
        _let_others_run()
    rest = json.dumps(collection.result())
    for name, entries in collection.long_lists():
        beginning, rest = rest.split(f'"{name}": []', 1)
        yield beginning.encode() + f'"{name}": ['.encode()
        separator = b""
        while part := list(itertools.islice(entries, SLICE)):
            yield separator + json.dumps(part)[1:-1].encode()
            separator = b", "
            _let_others_run()
        yield b"]"
    yield rest.encode()


def _trace_parts(asked: dict[str, Any]) -> Iterator[bytes]:
    """A trace as JSON, or the clock's reading from which on a later request wants one."""
    head = json.dumps({"schema": SCHEMA_VERSION, "pid": os.getpid(), "clock": time.monotonic_ns()})
    if asked.get("mark"):
        yield head.encode()
        return
    since = asked.get("since", 0)
    if type(since) is not int or not 0 <= since < 1 << 63:
        raise ValueError
    yield head[:-1].encode() + b', "traceEvents": ['
    separator = b""
    events = _trace.events(_flight.read(since))
    while part := list(itertools.islice(events, 4 * SLICE)):
        yield separator + json.dumps(part)[1:-1].encode()
        separator = b", "
        _let_others_run()
    yield b"]}"


def _let_others_run() -> None:
    """Lets other threads have the interpreter: for as long as a slice takes about."""
    served = _served
    service = None if served is None else served.service
    if service is None or not service.pause(0.0005):
        raise _Ending
