"""Asks an inspected process: one line of JSON goes out, one comes back."""

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ferrio.inspect._attach import attach, detach
from ferrio.inspect._metrics import Metric
from ferrio.inspect._model import SCHEMA_VERSION, Snapshot
from ferrio.inspect._outside import outside_snapshot
from ferrio.inspect._socket import sockets
from ferrio.inspect._target import Failed as Failed, state_of

# A process with a million tasks is answered by less.
_LONGEST_ANSWER = 2 << 30

# In seconds, for the answer to come.
_PATIENCE = 150.0

# How often to ask a process that forks or ends just then, and what it says so by.
_ATTEMPTS = 20
_ENDS = b'{"error": "the process ends'

# To be let in, as others may be before.
_PATIENCE_TO_CONNECT = 20.0

# The same for a greeting, which takes no time but that of a busy machine; and if the process is stopped.
_PATIENCE_FOR_GREETING = 20.0
_PATIENCE_WITH_STOPPED = 1.0


def ask(path: str | os.PathLike[str], request: object, patience: float = _PATIENCE) -> dict[str, Any]:
    """The answer of the process that listens at `path`."""
    deadline = time.monotonic() + patience
    for attempt in range(_ATTEMPTS):
        answer = _exchange(os.fspath(path), json.dumps(request).encode() + b"\n", deadline)
        # Nothing comes back if the process forks in that moment, or that it ends: it stays there and answers again.
        if answer and not (answer.startswith(_ENDS) and attempt + 1 < _ATTEMPTS):
            break
        if attempt > 2:
            # Some programs fork all the time.
            time.sleep(0.01 * random.random() * attempt)
    else:
        why = "this user may not ask it, or it ends, or forks all the time"
        raise Failed(f"{os.fspath(path)}: the process does not answer: {why}")
    try:
        decoded = json.loads(answer)
    except ValueError:
        raise Failed(f"{os.fspath(path)}: the answer is not complete") from None
    if not isinstance(decoded, dict) or decoded.get("error"):
        raise Failed(str(decoded["error"] if isinstance(decoded, dict) else "the answer is not understood"))
    if decoded.get("schema") != SCHEMA_VERSION:
        raise Failed(f"the process answers in schema {decoded.get('schema')}, this command knows {SCHEMA_VERSION}")
    return decoded


def _exchange(path: str, request: bytes, deadline: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connect(connection, path)
            connection.sendall(request)
            parts: list[bytes] = []
            size = 0
            while size < _LONGEST_ANSWER:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                part = connection.recv(1 << 20)
                if not part:
                    return b"".join(parts)
                parts.append(part)
                size += len(part)
            raise Failed(f"{path}: the answer is too long")
        except (BrokenPipeError, ConnectionResetError):
            return b""
        except TimeoutError:
            raise Failed(f"{path}: the process does not answer: it is stopped, or too busy") from None
        except OSError as error:
            raise Failed(f"{path}: {error.strerror or error}") from None


def connect(connection: socket.socket, path: str) -> None:
    """Connects; if too many others wait to be let in, after them."""
    deadline = time.monotonic() + _PATIENCE_TO_CONNECT
    while True:
        try:
            return connection.connect(path)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError from None
            time.sleep(0.02)


def greeting_of(path: str | os.PathLike[str], number: int | None = None) -> dict[str, Any]:
    """What the process that listens at `path` says of itself; its number is known from the name of the socket."""
    is_stopped = number is not None and state_of(number) in ("T", "t")
    return ask(path, "hello", _PATIENCE_WITH_STOPPED if is_stopped else _PATIENCE_FOR_GREETING)


def processes() -> Iterator[tuple[dict[str, Any], Path]]:
    """The processes that answer, and their sockets. Sockets that processes have left behind are removed."""
    for number, path in sockets():
        try:
            yield greeting_of(path, number), path
        except Failed:
            _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            pass


def find(target: str | None) -> Path:
    """The socket of the process with this number, at this path, or of the only process there is.

    A process that was never asked to be inspected is attached to.
    """
    found = _found(target)
    return found if isinstance(found, Path) else attach(found)


def _found(target: str | None) -> Path | int:
    """The socket, or the number of a process that has none."""
    if target is not None and "/" in target:
        return Path(target)
    if target is None:
        found = list(processes())
        if len(found) == 1:
            return found[0][1]
        if not found:
            raise Failed(_NONE)
        numbers = ", ".join(str(hello["pid"]) for hello, _ in found)
        raise Failed(f"there are {len(found)} processes, name one of them: {numbers}")
    if not target.isdecimal() or len(target) > 20:
        raise Failed(f"{target!r} is neither the number of a process nor a path with a slash")
    for number, path in sockets():
        if number == int(target):
            try:
                greeting_of(path, number)
            except Failed:
                _remove_if_left(path)
                continue
            return path
    return int(target)


_NONE = "no process is inspected: start one with `ferrio run --inspect …` or FERRIO_INSPECT=1"


def metrics_of(target: str | None) -> dict[str, Metric]:
    """The metrics of a process."""
    found: dict[str, Metric] = ask(find(target), {"view": "metrics"}).get("metrics", {})
    if not found:
        raise Failed("the process has no metrics to show: C code keeps its interpreter's lock")
    return found


def snapshot_of(target: str | None, *, may_attach: bool) -> Snapshot:
    """A snapshot of a process: what it answers or, if it does not and nothing may be run in it, what its memory has."""
    found = _found(target)
    if isinstance(found, int) and not may_attach:
        return outside_snapshot(found)
    path = attach(found) if isinstance(found, int) else found
    return ask(path, {"view": "snapshot"})  # type: ignore[return-value]


def end_inspection_of(target: str | None) -> None:
    """Ends what a view has begun in the process of this number."""
    if target is None or not target.isdecimal() or len(target) > 20:
        raise Failed("name the number of a process")
    detach(int(target))
