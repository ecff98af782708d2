"""`record`: writes what the surroundings of a production loop do; and the file in which that is.

The file has a line that says what it is, a line of JSON about the program, and the entries, which the loop writes.
"""

import atexit
import contextlib
import hashlib
import json
import math
import os
import random
import socket
import stat
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from ferrio._ferrio import Recording, Simulation, _record_next_loop

_MAGIC = b"ferrio recording 1\n"

# The longest line about the program.
_LONGEST = 1 << 20

# How many bytes a recording has at most.
LIMIT = 256 << 20


class record:
    """Record what happens to the next loop that this thread runs, for `replay`; a context manager.

    `path` is the file, which only its owner may read, and which is overwritten. It gets what landed and in which order:
    readiness of connections, outcomes of jobs, calls of other threads, signals, and what the clock showed. With `bytes`
    it also gets what connections received, without which a program with connections cannot be replayed. After `limit`
    bytes it ends, and the program goes on.

    Raises OSError if the file cannot be made, and RuntimeError if the thread runs a loop already or another recording
    waits for its next one. If it cannot be written later, that is logged once, and the program goes on.
    """

    def __init__(self, path: str | os.PathLike[str], *, bytes: bool = False, limit: int = LIMIT) -> None:
        self.path = os.fspath(path)
        self._script = getattr(sys.modules.get("__main__"), "__file__", None) or ""
        self._keeps_bytes = bytes
        self._limit = limit
        self._descriptor = -1
        self._recording: Recording | None = None
        self._process = 0

    def __enter__(self) -> "record":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, as entering the context does."""
        import asyncio

        if self._recording is not None:
            raise RuntimeError("this recording has begun already")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a recording begins before the loop runs")
        header = _MAGIC + json.dumps(_about(self._keeps_bytes, self._script)).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        recording = Recording.writing(descriptor, self._limit, self._keeps_bytes)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, descriptor)
            # First of all, so that a refused recording leaves alone what the file has.
            _record_next_loop(recording)
            undo.callback(recording.finish)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
            while header:
                header = header[os.write(descriptor, header) :]
            undo.pop_all()
        self._descriptor = descriptor
        self._process = os.getpid()
        self._recording = recording

    def stop(self) -> None:
        """End, as leaving the context does."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        number = recording.finish()
        is_own = self._process == os.getpid()
        if is_own and number is None and not recording.has_loop:
            from asyncio.log import logger

            logger.warning("nothing was recorded to %s: this thread has run no loop of ferrio's", self.path)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        if number is not None and is_own:
            from asyncio.log import logger

            reason = os.strerror(number)
            logger.warning("a recording of ferrio.testing has ended, because it cannot be written: %s", reason)


def until_exit(path: str, keeps_bytes: bool, script: str) -> None:
    """Records until the process ends."""
    recording = record(path, bytes=keeps_bytes)
    recording._script = script
    recording.start()
    atexit.register(recording.stop)


def _about(keeps_bytes: bool, script: str) -> dict[str, Any]:
    """What a replay has to know."""
    first_task = Simulation.restart_numbers(1)
    Simulation.restart_numbers(first_task)
    return {
        "python": sys.version.split()[0],
        "bytes": keeps_bytes,
        "first_task": first_task,
        "epoch": time.time() - time.monotonic(),
        "random": random.getstate(),
        "script": os.path.abspath(script) if script else "",
        "fingerprint": fingerprint(script) if script else "",
    }


def fingerprint(file: str) -> str:
    """What tells one content of a file from another; empty if it cannot be read."""
    try:
        with open(file, "rb") as source:
            return hashlib.sha256(source.read()).hexdigest()[:16]
    except OSError:
        return ""


@dataclass
class Recorded:
    """A recording that was read."""

    file: str
    recording: Recording
    python: str
    first_task: int
    epoch: float
    random: Any
    script: str
    fingerprint: str
    notes: list[str] = field(default_factory=list)


def load(file: str) -> Recorded:
    """Reads a recording; ValueError if it is none, OSError if it cannot be read."""
    with open(file, "rb") as source:
        if source.readline(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{file} is not a recording of ferrio.testing, or of another version")
        line = source.readline(_LONGEST)
        entries = source.read(LIMIT * 4 + 1)
    try:
        about = json.loads(line)
        version, state, gauss = about["random"]
        state = (int(version), tuple(int(number) for number in state), None if gauss is None else float(gauss))
        random.Random().setstate(state)
        first_task, epoch = int(about["first_task"]), float(about["epoch"])
        if not 0 < first_task < 1 << 62 or not math.isfinite(epoch) or abs(epoch) > 1e11:
            raise ValueError
        texts = [str(about[name]) for name in ("python", "script", "fingerprint")]
        recording = Recording.reading(entries, bool(about["bytes"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error or 'its second line is none of a recording'}") from None
    return Recorded(file, recording, texts[0], first_task, epoch, state, texts[1], texts[2])


def changes(recorded: Recorded) -> list[str]:
    """What is known to be otherwise than when the recording was made."""
    found = []
    if recorded.fingerprint and fingerprint(recorded.script) not in ("", recorded.fingerprint):
        found.append(f"{recorded.script} has changed since the recording")
    if recorded.python != sys.version.split()[0]:
        found.append(f"the recording was made on Python {recorded.python}")
    return found


def encode_lookup(found: Any, error: BaseException | None) -> str | None:
    """The outcome of `getaddrinfo` or `getnameinfo` as text; None if it is something else."""
    if error is not None:
        if isinstance(error, OSError) and isinstance(error.errno, int):
            kind = "gaierror" if isinstance(error, socket.gaierror) else "OSError"
            return json.dumps({kind: [error.errno, str(error.strerror)]})
        return None
    try:
        return json.dumps({"found": found})
    except (TypeError, ValueError):
        return None


def decode_lookup(text: str) -> Any:
    """The outcome; raises the error that it was."""
    outcome = json.loads(text)
    for kind in (socket.gaierror, OSError):
        if kind.__name__ in outcome:
            raise kind(*outcome[kind.__name__])
    found = outcome["found"]
    if found and isinstance(found[0], list):
        return [
            (_named(socket.AddressFamily, family), _named(socket.SocketKind, type), proto, name, tuple(address))
            for family, type, proto, name, address in found
        ]
    return tuple(found)


def _named(kind: Any, number: int) -> Any:
    try:
        return kind(number)
    except ValueError:
        return number
