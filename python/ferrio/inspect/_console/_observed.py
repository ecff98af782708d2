"""Looks at the inspected process again and again while a page is open, and remembers what one look cannot show.

One thread looks; those that answer pages read the newest `Look`, which never changes once it is there. The process is
left alone while no page is open, and spends at most a fifth of its time on being looked at.
"""

import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from ferrio.inspect import _text, _top
from ferrio.inspect._blocked import Flame
from ferrio.inspect._chains import Index
from ferrio.inspect._client import Failed, ask, greeting_of
from ferrio.inspect._console import _series
from ferrio.inspect._model import Block, Snapshot, Task

# The process spends at most this share of its time on being looked at.
_SHARE = 0.2

# In seconds. A process that does not answer for so long is said to be stopped, and asked again.
# Before the first answer nobody knows how long one takes.
_PATIENCE = 20.0
_PATIENCE_AT_FIRST = 120.0

# Points of the charts, changes of a task and blocks that are remembered.
_POINTS = 600
_CHANGES = 20
_BLOCKS = 500


class Change(NamedTuple):
    """What a task began to do, and when that was seen."""

    at: float
    state: str
    where: str
    waits_for: str


class Look(NamedTuple):
    """What is known at one time."""

    version: int
    # When the process was asked, in seconds since the epoch.
    at: float
    # Why the last look failed or shows a part only; the rest is of the look before.
    trouble: str | None
    ended: bool
    # The last snapshot that was whole; None before the first.
    snapshot: Snapshot | None
    indexed: Index | None
    rows: list[dict[str, Any]]
    came: int | None
    gone: int | None


NOTHING = Look(0, 0.0, None, False, None, None, [], None, None)


class Observed:
    """An inspected process, as the console has seen it."""

    def __init__(self, path: Path, hello: dict[str, Any], interval: float) -> None:
        self.path = path
        self.hello = hello
        self.look = NOTHING
        self.points: deque[_series.Point] = deque(maxlen=_POINTS)
        self.blocks: dict[int, Block] = {}
        self.flame = Flame()
        self.changed = threading.Condition()
        self._interval = interval
        self._pages = 0
        self._closed = False
        self._watch = _top.Watch()
        self._changes: dict[str, tuple[str, deque[Change]]] = {}
        self._rates = _series.Rates()
        self._thread = threading.Thread(target=self._run, name="ferrio-console-looks", daemon=True)

    def start(self) -> None:
        """Takes the first look, which may fail, then goes on in a thread."""
        self._see(_PATIENCE_AT_FIRST)
        self._thread.start()

    def close(self) -> None:
        """No more looks, and no page waits for one."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def open_page(self) -> None:
        """A page waits for looks."""
        with self.changed:
            self._pages += 1
            self.changed.notify_all()

    def close_page(self) -> None:
        """A page has gone."""
        with self.changed:
            self._pages -= 1

    def newer(self, version: int, patience: float) -> Look:
        """The newest look, as soon as it is another than `version`; or after `patience` seconds what there is."""
        with self.changed:
            self.changed.wait_for(lambda: self._closed or self.look.version != version, patience)
            return self.look

    def changes(self, task: str) -> list[Change]:
        """What a task was seen to do, oldest first."""
        return list(self._changes[task][1]) if task in self._changes else []

    def _run(self) -> None:
        while not self.look.ended:
            took = 0.0 if self.look.snapshot is None else self.look.snapshot["took"]
            with self.changed:
                self.changed.wait_for(lambda: self._closed, max(self._interval, took / _SHARE))
                self.changed.wait_for(lambda: self._closed or self._pages > 0)
                if self._closed:
                    return
            try:
                self._see(max(_PATIENCE, 4 * took))
            except Failed as failure:
                self._publish(trouble=str(failure), ended=not self._is_there())

    def _is_there(self) -> bool:
        """Whether the process can be asked at all. A number in a container is none of this namespace's: ask."""
        try:
            return bool(greeting_of(self.path)["pid"] == self.hello["pid"])
        except Failed as failure:
            return "does not answer: it is stopped" in str(failure)

    def _publish(self, **fields: Any) -> None:
        with self.changed:
            self.look = self.look._replace(version=self.look.version + 1, at=time.time(), **fields)
            self.changed.notify_all()

    def _see(self, patience: float) -> None:
        snapshot: Snapshot = ask(self.path, {"view": "snapshot"}, patience)  # type: ignore[assignment]
        self._remember_blocks(snapshot["blocks"])
        if snapshot["partial"]:
            self._publish(trouble=snapshot["reason"] or "the process could not answer itself")
            return
        try:
            counted = ask(self.path, {"view": "metrics"}, patience).get("metrics", {})
        except Failed:
            counted = {}
        self.points.extend(self._rates.points(self.look.version + 1, snapshot, counted))
        sample = self._watch.sample(snapshot)
        index = Index(snapshot)
        tasks = zip(snapshot["tasks"], sample["rows"], strict=True)
        rows = [self._row(snapshot["time"], index, task, row) for task, row in tasks]
        gone = self._changes.keys() - index.tasks.keys()
        for name in gone:
            del self._changes[name]
        self._publish(
            trouble=None, snapshot=snapshot, indexed=index, rows=rows, came=sample["came"], gone=sample["gone"]
        )

    def _row(self, now: float, index: Index, task: Task, row: _top.Row) -> dict[str, Any]:
        self._remember_change(now, task, row)
        times: dict[str, Any] = task.get("times") or {}  # type: ignore[assignment]
        return {
            "id": task["id"],
            "name": row["name"],
            "state": "deadlocked" if task["id"] in index.deadlocked else task["state"],
            "coroutine": task["coroutine"],
            "waits_for": row["waits_for"],
            "where": row["where"],
            "same_place": row["same_place"],
            "age": row["age"],
            "polls": times.get("polls"),
            "total": times.get("total"),
            "longest": times.get("longest"),
            "context": _text.context_text(task["context"]) or None,
        }

    def _remember_change(self, now: float, task: Task, row: _top.Row) -> None:
        kind = "-" if task["waits_for"] is None else task["waits_for"]["kind"]
        change = Change(now, row["state"], row["where"], kind)
        # Addresses are used again: a task of another name is another one.
        name, changes = self._changes.get(task["id"], ("", None))
        if changes is None or name != task["name"]:
            self._changes[task["id"]] = (task["name"], deque((change,), _CHANGES))
        elif changes[-1][1:] != change[1:]:
            changes.append(change)

    def _remember_blocks(self, blocks: list[Block]) -> None:
        for block in blocks:
            known = self.blocks.get(block["number"])
            if known is None or (known["duration"], known["ended"]) != (block["duration"], block["ended"]):
                self.flame.add(block)
            self.blocks[block["number"]] = block
        while len(self.blocks) > _BLOCKS:
            del self.blocks[next(iter(self.blocks))]
