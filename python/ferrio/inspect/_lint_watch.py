"""Warnings: a thread looks again and again, and logs each lint once while it lasts.

The thread is Python's own, and a daemon: it looks slice by slice and sleeps in between, so that it holds no loop up.
"""

import logging
import threading
import time
from asyncio.log import logger
from typing import Any

from ferrio.inspect import _lints
from ferrio.inspect._model import Lint
from ferrio.inspect._printable import printable

# How long other threads have between two slices, in seconds, and how long the end of the thread is waited for.
_PAUSE = 0.0005
_PATIENCE = 5.0

# The name of the thread.
THREAD = "ferrio-lints"

_watch: "_Watch | None" = None
_is_wanted = False


class _Watch:
    """The thread, and what it has seen last."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.latest: list[Lint] = []
        self.queue_lengths: list[int] = []
        self.known: set[Any] = set()
        self.thread = threading.Thread(target=self.run, name=THREAD, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Looks until it is told to end."""
        while not self.ends.wait(_lints.limits.interval):
            try:
                self.look()
            except Exception as error:
                # As for lack of memory: the next look may succeed.
                logger.debug("a look for lints has failed: %s", type(error).__name__)

    def look(self) -> None:
        """Looks once."""
        # The collection uses the lints, and this file's thread the collection.
        from ferrio.inspect._collect import Collection

        collection = Collection()
        for _ in collection.slices():
            if self.ends.is_set():
                return
            time.sleep(_PAUSE)
        lints = collection.lints
        found, lengths = ([], []) if lints is None else (lints.found, lints.queue_lengths)
        del collection, lints
        keys = {key(each): each for each in found}
        for name, each in keys.items():
            if name not in self.known:
                warn(each)
        self.known, self.latest, self.queue_lengths = set(keys), found, lengths


def key(lint: Lint) -> Any:
    """What makes two lints the same one."""
    where = lint["where"]
    place = None if where is None else (where["file"], where["function"], where["line"])
    subject = lint["primitive"] or (None if place is not None else tuple(lint["tasks"]))
    return lint["kind"], subject, place


def warn(lint: Lint) -> None:
    """One record, as if it came from the line in question; `record.ferrio_lint` is the lint."""
    if not logger.isEnabledFor(logging.WARNING):
        return
    where = lint["where"]
    file = "" if where is None or where["file"] is None else where["file"]
    line = 0 if where is None or where["line"] is None else where["line"]
    function = None if where is None else where["function"]
    text = f"{lint['kind']}: {printable(lint['text'])}"
    extra = {"ferrio_lint": lint}
    logger.handle(logger.makeRecord(logger.name, logging.WARNING, file, line, "%s", (text,), None, function, extra))


def begin() -> None:
    """Looks from now on."""
    global _is_wanted
    _is_wanted = True
    resume()


def resume() -> None:
    """Starts the thread, if lints are wanted and it does not run."""
    global _watch
    if _is_wanted and _watch is None:
        _watch = _Watch()


def halt() -> None:
    """Ends the thread; `resume` starts it again."""
    global _watch
    watch, _watch = _watch, None
    if watch is not None:
        watch.ends.set()
        if watch.thread is not threading.current_thread():
            watch.thread.join(_PATIENCE)


def end() -> None:
    """Looks no more."""
    global _is_wanted
    _is_wanted = False
    halt()


def latest() -> list[Lint] | None:
    """The lints of the last look; None if nobody looks."""
    watch = _watch
    return None if watch is None else watch.latest


def queue_lengths() -> list[int] | None:
    """The number of entries of each queue that the last look has seen; None if nobody looks."""
    watch = _watch
    return None if watch is None else watch.queue_lengths
