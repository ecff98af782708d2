"""Writes the trace when something happens: a block, an unhandled exception, SIGQUIT, or the program's end.

Files are numbered, and bounded in number: after the last one nothing more is written. A child made by `fork` writes
files of its own, as their names have the number of the process.
"""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from asyncio.log import logger
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ferrio.inspect import _watching
from ferrio.inspect._model import Block
from ferrio.inspect._trace import trace

# How many traces one process writes.
MOST_DUMPS = 20

_lock = threading.RLock()
_dumps: "_Dumps | None" = None


class _Dumps:
    """Where traces go, and what they are written for."""

    def __init__(self, directory: str, blocked: float | None, quit_signal: bool) -> None:
        self.directory = directory
        self.blocked = blocked
        self.quit_signal = quit_signal
        self.process = os.getpid()
        self.written = 0
        self.hook = sys.excepthook
        self.thread_hook = threading.excepthook
        self.handler: Any = None
        self.end_block_reports: Callable[[], None] | None = None

    def begin(self) -> None:
        if self.quit_signal:
            self.handler = signal.signal(signal.SIGQUIT, self.signalled)
        if self.blocked is not None:
            self.end_block_reports = _watching.on_blocked(self.was_blocked)
        sys.excepthook = self.unhandled
        threading.excepthook = self.unhandled_in_thread
        logger.addFilter(self.logged)

    def end(self) -> None:
        # What another one has put over ours stays.
        if sys.excepthook == self.unhandled:
            sys.excepthook = self.hook
        if threading.excepthook == self.unhandled_in_thread:
            threading.excepthook = self.thread_hook
        logger.removeFilter(self.logged)
        if self.end_block_reports is not None:
            self.end_block_reports()
        if self.quit_signal and signal.getsignal(signal.SIGQUIT) == self.signalled:
            signal.signal(signal.SIGQUIT, self.handler)

    def dump(self, why: str) -> None:
        """Writes a trace; a failure is logged, as the program has to go on."""
        with _lock:
            if _dumps is not self:
                return
            if self.process != os.getpid():
                self.process, self.written = os.getpid(), 0
            if self.written >= MOST_DUMPS:
                return
            self.written += 1
            file = os.path.join(self.directory, f"ferrio-{self.process}-{self.written}-{why}.json")
        try:
            trace(file)
        except Exception:
            logger.warning("the trace %s could not be written", file, exc_info=True)

    def signalled(self, number: int, frame: FrameType | None) -> None:
        self.dump("signal")

    def was_blocked(self, block: Block) -> None:
        # A block is reported while it lasts as well; the whole of it is in the trace when it has ended.
        if self.blocked is not None and block["ended"] and block["duration"] >= self.blocked:
            self.dump("block")

    def unhandled(self, kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            self.dump("exception")
        self.hook(kind, value, traceback)

    def unhandled_in_thread(self, arguments: Any) -> None:
        self.dump("exception")
        self.thread_hook(arguments)

    def logged(self, record: logging.LogRecord) -> bool:
        """What a loop's exception handler and a future that nobody has asked log."""
        if record.levelno >= logging.ERROR and record.exc_info:
            self.dump("exception")
        return True


def dump_traces(directory: str | os.PathLike[str], *, blocked: float | None = None, quit_signal: bool = False) -> None:
    """Write the trace to a file in `directory` whenever an exception is unhandled, until `stop()`.

    Also when a callback has blocked its loop for `blocked` seconds or more (those that are shorter than the limit of
    `start()` are not seen), and for SIGQUIT if `quit_signal` is true, which only the main thread may ask for. At most
    20 files are written. `start()` has to be called before.
    """
    global _dumps
    os.makedirs(directory, exist_ok=True)
    with _lock:
        end()
        made = _Dumps(os.path.abspath(directory), blocked, quit_signal)
        made.begin()
        _dumps = made


def forget_parent() -> None:
    """In a child made by `fork`: another thread of the parent may have had the lock."""
    global _lock
    _lock = threading.RLock()


def end() -> None:
    """Writes no more."""
    global _dumps
    with _lock:
        dumps, _dumps = _dumps, None
        if dumps is not None:
            dumps.end()


def at_exit(file: str) -> None:
    """Writes the trace to `file` when the interpreter ends; a forked child's has its number in its name."""
    process = os.getpid()
    absolute = os.path.abspath(file)

    def write() -> None:
        own = absolute if os.getpid() == process else f"{absolute}.{os.getpid()}"
        try:
            trace(own)
        except Exception as error:
            with contextlib.suppress(Exception):
                print(f"ferrio: cannot write {own}: {error}", file=sys.stderr)

    atexit.register(write)
