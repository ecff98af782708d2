"""Child processes of a recorded program: their numbers and ends are noted, or given.

What they write comes through pipes, which the loop records. A run that repeats a recording starts no process: its pipes
are pipes that nobody else has, and what is sent to a process is dropped.
"""

import contextlib
import os
import subprocess
from typing import Any

from ferrio._ferrio import Recording, _recording_here
from ferrio.testing._calls import LeftError, call


def start(command: Any, **keywords: Any) -> Any:
    """`subprocess.Popen`, for a loop with a recording."""
    recording = _recording_here()
    if recording is None:
        return subprocess.Popen(command, **keywords)
    if recording.repeats:
        pid = call(recording, "Popen", subprocess.Popen)
        if not isinstance(pid, int):
            raise ValueError("the recording is damaged: a process has no number")
        return _Repeated(recording, pid, command, keywords)
    made: list[subprocess.Popen[bytes]] = []

    def make() -> int:
        made.append(subprocess.Popen(command, **keywords))
        return made[0].pid

    call(recording, "Popen", make)
    process: Any = made[0]
    if type(process) is subprocess.Popen:
        process.__class__ = _Recorded
    return process


def wait(process: Any) -> Any:
    """`os.waitpid` without waiting, for a process that `start` has started."""
    recording, pid = _recording_here(), process.pid
    if recording is not None:
        with contextlib.suppress(LeftError):
            return call(recording, f"waitpid({pid})", os.waitpid, pid, os.WNOHANG)
    # The number of a process that was recorded may be another one's here.
    return (0, 0) if isinstance(process, _Repeated) else os.waitpid(pid, os.WNOHANG)


def kill(process: Any, number: int) -> None:
    """`os.kill`, for a process that `start` has started."""
    recording, pid = _recording_here(), process.pid
    if recording is not None:
        call(recording, f"kill({pid}, {number!r})", os.kill, pid, number)
    elif not isinstance(process, _Repeated):
        os.kill(pid, number)


class _Recorded(subprocess.Popen[bytes]):
    """A process of a program that is recorded."""

    def poll(self) -> Any:
        recording = _recording_here()
        if recording is None or self.returncode is not None:
            return super().poll()
        return call(recording, f"poll of process {self.pid}", super().poll)

    def send_signal(self, sig: int) -> None:
        recording = _recording_here()
        if recording is None:
            super().send_signal(sig)
        else:
            call(recording, f"send_signal of process {self.pid}", self._send_signal, sig)

    def _send_signal(self, sig: int) -> None:
        # Not what this class has in the place of poll().
        if super().poll() is None:
            os.kill(self.pid, sig)


class _Repeated(subprocess.Popen[bytes]):
    """A process that has run when it was recorded."""

    def __init__(self, recording: Recording, pid: int, command: Any, keywords: dict[str, Any]) -> None:
        self._recording = recording
        self._child_created = False
        self._communication_started = False
        self._input = None
        self.args = command
        self.pid = pid
        self.returncode: Any = None
        self.encoding = self.errors = None
        self.text_mode = None
        self.stdin = _our_end(keywords.get("stdin"), writes=True)
        self.stdout = _our_end(keywords.get("stdout"), writes=False)
        self.stderr = _our_end(keywords.get("stderr"), writes=False)

    def poll(self) -> Any:
        if _recording_here() is self._recording and self.returncode is None:
            self.returncode = call(self._recording, f"poll of process {self.pid}", _nothing)
        return self.returncode

    def wait(self, timeout: float | None = None) -> Any:
        self._recording.refuse("Popen.wait(), which blocks the loop")
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if _recording_here() is self._recording:
            call(self._recording, f"send_signal of process {self.pid}", _nothing)


def _our_end(asked: Any, *, writes: bool) -> Any:
    if asked != subprocess.PIPE:
        return None
    reader, writer = os.pipe()
    ours, theirs = (writer, reader) if writes else (reader, writer)
    with contextlib.suppress(OSError):
        os.close(theirs)
    return open(ours, "wb" if writes else "rb", 0)


def _nothing() -> None: ...
