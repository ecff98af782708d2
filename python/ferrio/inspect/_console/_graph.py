"""The wait-for graph: tasks and the primitives between them, with the deadlocks first and never too much to draw.

An arrow leads from what waits to what it waits for: from a task to a lock, from the lock to its holder, from a task to
the one that it awaits. Of many tasks that wait for the same thing the first are shown, and how many more there are.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ferrio.inspect import _text
from ferrio.inspect._chains import Index
from ferrio.inspect._model import Primitive, Task

# What is drawn at most, and how many that wait for the same thing.
_MOST_NODES = 160
_MOST_ALIKE = 4


class _Graph:
    def __init__(self, index: Index) -> None:
        self.index = index
        self.nodes: dict[str, dict[str, Any]] = {}
        self.edges: list[dict[str, Any]] = []
        self._drawn: set[str] = set()
        # What "more tasks" stand for.
        self._left_out: set[str] = set()
        # The tasks that wait for each thing.
        self._waiting: dict[str, list[str]] = defaultdict(list)
        for task in index.snapshot["tasks"]:
            wait = task["waits_for"]
            if wait is None:
                continue
            if wait["primitive"] is not None:
                self._waiting[wait["primitive"]].append(task["id"])
            for each in wait["tasks"]:
                self._waiting[each].append(task["id"])
        self.hidden = 0

    def draw(self) -> None:
        """The deadlocks, then what the most tasks wait for."""
        first = list(self.index.deadlocked)
        # What is between tasks tells more than that one awaits many.
        others = sorted(self._waiting, key=lambda each: (each in self.index.tasks, -len(self._waiting[each]), each))
        for name in [*first, *others]:
            if name in self._left_out and name not in self.index.deadlocked:
                continue
            if name not in self.nodes and len(self.nodes) >= _MOST_NODES:
                self.hidden += 1
                continue
            self._around(name)

    def _around(self, name: str) -> None:
        """What is reached from a thing by waiting, and who waits for it."""
        pending = [name]
        while pending and len(self.nodes) < _MOST_NODES:
            current = pending.pop(0)
            if current in self._drawn or not self._node(current):
                continue
            self._drawn.add(current)
            for target, how, label in self._targets(current):
                if self._node(target):
                    self._edge(current, target, how, label)
                    pending.append(target)
            self._waiters(current, pending)

    def _waiters(self, name: str, pending: list[str]) -> None:
        waiting = self._waiting.get(name, [])
        # Those of a deadlock are always shown.
        ordered = sorted(waiting, key=lambda each: each not in self.index.deadlocked)
        shown = [each for place, each in enumerate(ordered) if place < _MOST_ALIKE or each in self.index.deadlocked]
        pending += shown
        self._more(name, [each for each in waiting if each not in shown], "wait too", lambda more: (more, name))

    def _more(self, name: str, rest: list[str], tells: str, ends: Callable[[str], tuple[str, str]]) -> None:
        """One node for many."""
        if not rest:
            return
        self._left_out.update(rest)
        more = f"{name} {tells}"
        title = _text.count(len(rest), "more task" if tells.endswith("too") else "task")
        self.nodes[more] = {"id": more, "kind": "more", "title": title, "tells": tells, "red": False}
        source, target = ends(more)
        self.edges.append({"from": source, "to": target, "how": None, "label": "", "red": False})

    def _targets(self, name: str) -> list[tuple[str, str | None, str]]:
        if (primitive := self.index.primitives.get(name)) is not None:
            holders = primitive["holders"]
            self._more(name, [each["task"] for each in holders[_MOST_ALIKE:]], "hold it too", lambda more: (name, more))
            return [(each["task"], each["how"], "held by") for each in holders[:_MOST_ALIKE]]
        wait = self.index.tasks[name]["waits_for"]
        if wait is None:
            return []
        if wait["primitive"] is not None:
            return [(wait["primitive"], None, "waits for")]
        if len(wait["tasks"]) > _MOST_ALIKE:
            # Arrows to all of them would tie everything together. Each is where it waits itself.
            self._more(name, list(wait["tasks"]), wait["kind"], lambda more: (name, more))
            return []
        return [(each, None, wait["kind"]) for each in wait["tasks"]]

    def _node(self, name: str) -> bool:
        if name in self.nodes:
            return True
        if (task := self.index.tasks.get(name)) is not None:
            self.nodes[name] = self._task(task)
        elif (primitive := self.index.primitives.get(name)) is not None:
            self.nodes[name] = self._primitive(primitive)
        else:
            return False
        return True

    def _task(self, task: Task) -> dict[str, Any]:
        own = [frame for frame in task["stack"] if not frame["asyncio"]] or task["stack"]
        return {
            "id": task["id"],
            "kind": "task",
            "title": _text.printable(task["name"]),
            "tells": _short(_text.place(own[-1] if own else None)),
            "red": task["id"] in self.index.deadlocked,
        }

    def _primitive(self, primitive: Primitive) -> dict[str, Any]:
        waiting = len(self._waiting.get(primitive["id"], ()))
        return {
            "id": primitive["id"],
            "kind": "primitive",
            "title": primitive["kind"].capitalize(),
            "tells": f"{primitive['id']}, {waiting} waiting",
            "red": any(link["primitive"] == primitive["id"] for link in self.index.deadlocked.values()),
        }

    def _edge(self, source: str, target: str, how: str | None, label: str) -> None:
        link = self.index.deadlocked.get(source)
        # From a task of a circle to what it waits for, or from its lock to the next task.
        red = link is not None and target in (link["primitive"], link["waits_for"])
        red = red or any(
            each["primitive"] == source and each["waits_for"] == target for each in self.index.deadlocked.values()
        )
        self.edges.append({"from": source, "to": target, "how": how, "label": label, "red": red})


def _short(place: str) -> str:
    """`function (file:line)` without the folders."""
    function, found, rest = place.partition(" (")
    return f"{function} · {rest.rpartition('/')[2].removesuffix(')')}" if found else function


def of(index: Index | None) -> dict[str, Any]:
    """Nodes, edges, and how many things that somebody waits for are not drawn."""
    if index is None:
        return {"nodes": [], "edges": [], "hidden": 0}
    graph = _Graph(index)
    graph.draw()
    linked = {name for edge in graph.edges for name in (edge["from"], edge["to"])}
    nodes = [node for name, node in graph.nodes.items() if name in linked]
    return {"nodes": nodes, "edges": graph.edges, "hidden": graph.hidden}
