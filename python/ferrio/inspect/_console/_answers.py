"""What the page asks for, made of the newest look: plain data, bounded in size whatever the process has."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from ferrio.inspect import _text
from ferrio.inspect._blocked import culprit, one_line, where
from ferrio.inspect._chains import chain_of
from ferrio.inspect._console import _graph, _tables
from ferrio.inspect._console._observed import Look, Observed
from ferrio.inspect._model import Block, Frame, Task

# Rows of a table in one answer, and blocks and nodes of a flame graph.
MOST_ROWS = 500
_MOST_BLOCKS = 100
_MOST_STACKS = 2000

Query = dict[str, str]


class Refused(Exception):
    """The page asks for something that there is not; the text says so."""


def status(observed: Observed, look: Look) -> dict[str, Any]:
    """What every page shows, and is sent whenever something has changed."""
    snapshot = look.snapshot
    states = Counter(row["state"] for row in look.rows)
    deadlocks = [] if snapshot is None else [each for each in snapshot["deadlocks"] if not each["has_timeout"]]
    counts = {name: len(each) for name in _tables.LISTS if (each := _tables.entries(snapshot, name)) is not None}
    return {
        "version": look.version,
        "at": look.at,
        "trouble": look.trouble,
        "ended": look.ended,
        "process": observed.hello,
        "inspecting": None if snapshot is None else snapshot["inspecting"],
        "took": None if snapshot is None else snapshot["took"],
        "states": states,
        "counts": {**counts, "tasks": len(look.rows), "blocks": len(observed.blocks), "deadlocks": len(deadlocks)},
        "blocked_now": any(not each["ended"] for each in list(observed.blocks.values())[-20:]),
    }


def overview(observed: Observed, look: Look, query: Query) -> dict[str, Any]:
    """The loops, the deadlocks in a sentence each, and the points of the charts that came after `since`."""
    since = _number(query, "since", 0)
    snapshot, index = look.snapshot, look.indexed
    loops: list[Any] = [] if snapshot is None else list(snapshot["loops"])
    shown = [
        {name: each[name] for name in ("id", "type", "state", "thread_name", "debug", "ready", "timers", "tasks")}
        for each in loops[:MOST_ROWS]
    ]
    deadlocks = []
    if snapshot is not None and index is not None:
        for deadlock in snapshot["deadlocks"][:_MOST_BLOCKS]:
            tasks = [index.tasks[link["task"]] for link in deadlock["links"] if link["task"] in index.tasks]
            named = [{"id": task["id"], "name": _text.printable(task["name"])} for task in tasks[:20]]
            deadlocks.append({"tasks": named, "total": len(tasks), "has_timeout": deadlock["has_timeout"]})
    points = [each._asdict() for each in list(observed.points) if each.version > since]
    return {"loops": shown, "deadlocks": deadlocks, "points": points, "came": look.came, "gone": look.gone}


def rows(observed: Observed, look: Look, query: Query) -> dict[str, Any]:
    """A slice of a table, sorted and filtered here: the browser never has more than it shows."""
    name = query.get("of", "tasks")
    if name != "tasks" and name not in _tables.LISTS:
        raise Refused(f"there is no table {name!r}")
    table = _tables.table(look, name)
    if table is None:
        return {"version": look.version, "absent": True, "columns": [], "total": 0, "all": 0, "rows": []}
    chosen = table.chosen(
        query.get("sort", ""), query.get("backwards") == "1", query.get("filter", ""), query.get("state", "")
    )
    offset = max(_number(query, "offset", 0), 0)
    limit = min(max(_number(query, "limit", 100), 0), MOST_ROWS)
    return {
        "version": look.version,
        "absent": False,
        "columns": table.columns,
        "total": len(chosen),
        "all": len(table.rows),
        "rows": chosen[offset : offset + limit],
    }


def task(observed: Observed, look: Look, query: Query) -> dict[str, Any]:
    """One task: its stack, its chain, who created it, and what it was seen to do."""
    name, index = query.get("id", ""), look.indexed
    found = None if index is None else index.tasks.get(name)
    if index is None or found is None:
        return {"id": name, "gone": True, "changes": [each._asdict() for each in observed.changes(name)]}
    chain = chain_of(index, found)
    links = []
    for link in chain["links"][:50]:
        primitive = link["primitive"]
        holders = [] if primitive is None else primitive["holders"]
        holder = next((each for each in holders if each["task"] == link["next"]), None)
        links.append(
            {
                "task": _named(link["task"]),
                "where": _frame(link["where"]),
                "inside": link["inside"],
                "waits_for": _text.waits_for(index, link["task"]),
                "kind": None if link["wait"] is None else link["wait"]["kind"],
                "primitive": None if primitive is None else primitive["id"],
                "next": link["next"],
                "how": link["how"],
                "held": None if holder is None else holder["held"],
                "held_at": None if holder is None else _place(holder),
                "others": link["others"],
            }
        )
    awaiters = [index.tasks[each] for each in found["awaited_by"] if each in index.tasks]
    created = found["created"]
    creator = None if created is None else index.tasks.get(created["by"] or "")
    return {
        **_named(found),
        "gone": False,
        "type": found["type"],
        "loop": found["loop"],
        "deadlocked": name in index.deadlocked,
        "waits_for": _text.waits_for(index, found),
        "timeout": found["timeout"],
        "age": found["age"],
        "times": found.get("times"),
        "context": _text.context_text(found["context"]),
        "stack": [_frame(each) for each in found["stack"][-200:]],
        "created": None if created is None else {**_place(created), "by": creator and _named(creator)},
        "awaited_by": [_named(each) for each in awaiters[:50]],
        "awaited_by_total": len(found["awaited_by"]),
        "chain": links,
        "end": chain["end"],
        "back_to": chain["back_to"],
        "changes": [each._asdict() for each in observed.changes(name)],
    }


def graph(observed: Observed, look: Look, query: Query) -> dict[str, Any]:
    """Who waits for whom."""
    return _graph.of(look.indexed)


def blocks(observed: Observed, look: Look, query: Query) -> dict[str, Any]:
    """The newest reports of blocks, and the merged stacks with the seconds of each."""
    newest = sorted(observed.blocks.values(), key=lambda each: each["number"], reverse=True)
    weights = sorted(observed.flame.weights.items(), key=lambda each: -each[1])[:_MOST_STACKS]
    return {
        "blocks": [_block(each) for each in newest[:_MOST_BLOCKS]],
        "total": len(newest),
        "stacks": [{"stack": list(stack), "seconds": seconds} for stack, seconds in weights if seconds > 0],
        "watched": look.snapshot is not None and any(each["delay"] for each in look.snapshot["loops"]),
    }


def _block(block: Block) -> dict[str, Any]:
    return {
        "number": block["number"],
        "began": block["began"],
        "duration": block["duration"],
        "ended": block["ended"],
        "partial": block["partial"],
        "reason": block["reason"],
        "task": block["task"],
        "culprit": culprit(block),
        "thread": block["thread_name"],
        "where": _frame(where(block)),
        "text": one_line(block),
        "stack": [_frame(each) for each in block["stack"][-200:]],
        "created": None if block["created"] is None else _place(block["created"]),
        "samples": block["samples"],
    }


def _named(task: Task) -> dict[str, Any]:
    coroutine = _text.printable(task["coroutine"] or "?")
    return {"id": task["id"], "name": _text.printable(task["name"]), "coroutine": coroutine, "state": task["state"]}


def _frame(frame: Frame | None) -> dict[str, Any] | None:
    return None if frame is None else {**frame, "function": _text.printable(frame["function"])}


def _place(found: Any) -> dict[str, Any]:
    return {name: found[name] for name in ("function", "file", "line")}


def _number(query: Query, name: str, otherwise: int) -> int:
    text = query.get(name, "")
    if not text:
        return otherwise
    if len(text) > 12 or not text.isascii() or not text.isdecimal():
        raise Refused(f"{name!r} is no number")
    return int(text)


ANSWERS: dict[str, Callable[[Observed, Look, Query], dict[str, Any]]] = {
    "overview": overview,
    "rows": rows,
    "task": task,
    "graph": graph,
    "blocks": blocks,
}


def encoded(answer: object) -> bytes:
    """JSON in one line."""
    return json.dumps(answer, separators=(",", ":")).encode()
