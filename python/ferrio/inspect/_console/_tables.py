"""The tables of the console: their columns, and rows chosen by a filter and an order.

Those of connections, servers, child processes, jobs, timers and lints are in `_io_tables`.
"""

import re
from typing import Any

from ferrio.inspect import _text
from ferrio.inspect._chains import Index
from ferrio.inspect._console import _io_tables
from ferrio.inspect._console._observed import Look
from ferrio.inspect._model import Primitive, Snapshot

# The lists of a snapshot that have a table; those that a process does not have are absent.
LISTS = ("primitives", "connections", "servers", "children", "jobs", "timers", "lints")

Row = dict[str, Any]
Column = dict[str, str]


def _column(name: str, title: str, kind: str = "text", tells: str = "") -> Column:
    return {"name": name, "title": title, "kind": kind, "tells": tells}


_TASKS = [
    _column("name", "Task", "task", "The name that the program gave it"),
    _column("state", "State", "state", "Running, ready to run, waiting, or part of a deadlock"),
    _column("waits_for", "Waits for", "phrase", "What has to happen before it goes on"),
    _column("where", "Where", "place", "The innermost line of the program's own"),
    _column("same_place", "Same place", "seconds", "For how long it was there at every look of this console"),
    _column("age", "Age", "seconds", "Since it was created; unknown for tasks from before inspection began"),
]
_TIMES = [
    _column("polls", "Polls", "number", "How often it ran since it was created"),
    _column("total", "Ran for", "seconds", "How long it ran, all its polls together"),
    _column("longest", "Longest", "seconds", "The longest single step"),
]
_CONTEXT = _column("context", "Context", "text", "Context variables that the program has named for inspection")
_PRIMITIVES = [
    _column("kind", "Kind", "text", "Lock, semaphore, event, condition, barrier or queue"),
    _column("id", "Object", "identifier", "Its address, as other views name it"),
    _column("state", "State", "text", "Held or free, the items of a queue, what is left of a semaphore"),
    _column("holders", "Held by", "text", "Tasks that have it now; (inferred) where no record says so"),
    _column("held", "Held for", "seconds", "By the holder that has it longest"),
    _column("waiting", "Waiting", "number", "Tasks that wait for it"),
    _column("longest", "Longest wait", "seconds", "Of a task that has waited for it since inspection began"),
    _column("waiters", "Waiters", "text", "The first of them, in their order"),
]


class Table:
    """The rows of one look, with what they are searched by."""

    def __init__(self, columns: list[Column], rows: list[Row]) -> None:
        self.columns = columns
        self.rows = rows
        self._texts: dict[bool, list[str]] = {}
        self._last: tuple[tuple[str, bool, str, str], list[Row]] | None = None

    def chosen(self, sort: str, backwards: bool, text: str, state: str) -> list[Row]:
        """The rows in that state that contain the text, in order. Unknown values come last in either direction."""
        wanted = (sort, backwards, text, state)
        if self._last is not None and self._last[0] == wanted:
            return self._last[1]
        rows = self.rows
        if text:
            words = text.casefold().split()
            lines = self._lines(whole=any(word.startswith("0x") for word in words))
            rows = [row for row, line in zip(rows, lines, strict=True) if all(word in line for word in words)]
        if state:
            rows = [row for row in rows if row.get("state") == state]
        if any(column["name"] == sort for column in self.columns):
            known = [row for row in rows if row.get(sort) is not None]
            unknown = [row for row in rows if row.get(sort) is None]
            if sort == "state":
                known.sort(key=lambda row: -(row.get("same_place") or 0))
            rows = sorted(known, key=lambda row: _key(row[sort]), reverse=backwards) + unknown
        self._last = (wanted, rows)
        return rows

    def _lines(self, *, whole: bool) -> list[str]:
        """The text of each row; without addresses, whose digits nobody means, unless one is looked for."""
        if whole not in self._texts:
            found = ["\n".join(each for each in row.values() if isinstance(each, str)).casefold() for row in self.rows]
            self._texts[whole] = found if whole else [_ADDRESS.sub("", line) for line in found]
        return self._texts[whole]


_ADDRESS = re.compile("0x[0-9a-f]+")

# What needs attention comes first.
_STATES = {"deadlocked": 0, "running": 1, "ready": 2, "waiting": 3}


def _key(value: Any) -> tuple[int, Any]:
    if value in _STATES:
        return (0, _STATES[value])
    return (0, value) if isinstance(value, int | float) else (1, str(value).casefold())


# The tables of the newest look: a page asks for several slices of each.
_made: dict[str, tuple[Look, Table | None]] = {}


def table(look: Look, name: str) -> Table | None:
    """A table of this look; None if the process does not have that list."""
    known = _made.get(name)
    if known is not None and known[0] is look:
        return known[1]
    made = _table(look, name)
    _made[name] = (look, made)
    return made


def entries(snapshot: Snapshot | None, name: str) -> list[Any] | None:
    """A list of the snapshot; None if this process has none of that name."""
    found = None if snapshot is None else snapshot.get(name)
    return found if isinstance(found, list) else None


def _table(look: Look, name: str) -> Table | None:
    if name == "tasks":
        timed = any(row["polls"] is not None for row in look.rows)
        named = any(row["context"] is not None for row in look.rows)
        return Table(_TASKS + (_TIMES if timed else []) + ([_CONTEXT] if named else []), look.rows)
    found = entries(look.snapshot, name)
    if found is None or look.indexed is None:
        return None
    index = look.indexed
    if name == "primitives":
        return Table(_PRIMITIVES, [_primitive(index, each) for each in found])
    columns, row = _io_tables.TABLES[name]
    return Table([_column(*each) for each in columns], [row(index, each) for each in found])


def _name(index: Index, identifier: str) -> str:
    return index.tasks[identifier]["name"] if identifier in index.tasks else identifier


def _primitive(index: Index, found: Primitive) -> Row:
    holders = [
        _text.printable(_name(index, each["task"])) + ("" if each["how"] == "recorded" else " (inferred)")
        for each in found["holders"][:5]
    ]
    held = [each["held"] for each in found["holders"] if each["held"] is not None]
    waiting = [*found["waiters"], *found["putters"]]
    return {
        "kind": found["kind"],
        "id": found["id"],
        "state": _state(found),
        "holders": ", ".join(holders) + (f" and {len(found['holders']) - 5} more" if len(found["holders"]) > 5 else ""),
        "held": max(held, default=None),
        "waiting": len(waiting),
        "longest": found["longest_wait"],
        "waiters": ", ".join(_text.printable(_name(index, each)) for each in waiting[:5])
        + (", …" if len(waiting) > 5 else ""),
    }


def _state(found: Primitive) -> str:
    if found["kind"] == "queue":
        limit = "" if found["limit"] is None else f" of {found['limit']}"
        return f"{found['length']}{limit} items"
    if found["kind"] == "barrier" and found["limit"] is not None:
        return f"{found['value']} of {found['limit']} arrived"
    if found["kind"] == "event":
        return "set" if found["value"] else "not set"
    if found["kind"] == "semaphore" and found["value"] is not None:
        return f"{found['value']} left"
    if found["locked"] is not None:
        return "held" if found["locked"] else "free"
    return "" if found["value"] is None else str(found["value"])
