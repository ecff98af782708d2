"""Why a task does not go on: the chain from it to what it waits for in the end. Works on a snapshot alone.

Each link names a task, where it waits and for what. A chain ends where a task can go on, where it waits for something
other than a task, where nobody is known who could end the wait, or where it comes back to a task that is in it.
"""

from collections.abc import Iterator
from typing import Literal, TypedDict

from ferrio.inspect._model import Frame, Holder, Primitive, Snapshot, Task, Wait


class ChainLink(TypedDict):
    """A task in a chain, and what it waits for."""

    task: Task
    # Where: its innermost function that is not asyncio's, and asyncio's function in which that waits.
    where: Frame | None
    inside: str | None
    wait: Wait | None
    primitive: Primitive | None
    # The task that the next link is about, and how it is known that this one waits for it.
    next: str | None
    how: Literal["recorded", "inferred"] | None
    # It was waited for together with so many others that are not shown.
    others: int


class Chain(TypedDict):
    """A chain, and how it ends."""

    links: list[ChainLink]
    # "deadlock", "circle" (which a timeout ends, or which is not certain), "running", "ready", "outside"
    end: str
    # The place in `links` to which a circle leads back.
    back_to: int | None


class Index:
    """A snapshot by identifier."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.tasks = {task["id"]: task for task in snapshot["tasks"]}
        self.primitives = {each["id"]: each for each in snapshot["primitives"]}
        self.jobs = {each["id"]: each for each in snapshot["jobs"]}
        self.connections = {each["id"]: each for each in snapshot["connections"]}
        self.children = {each["id"]: each for each in snapshot["children"]}
        self.deadlocked = {
            link["task"]: link for each in snapshot["deadlocks"] if not each["has_timeout"] for link in each["links"]
        }

    def find(self, text: str) -> list[Task]:
        """The tasks of this identifier or name."""
        if text in self.tasks:
            return [self.tasks[text]]
        return [task for task in self.snapshot["tasks"] if task["name"] == text]


def chain_of(index: Index, task: Task) -> Chain:
    """The chain that begins with `task`."""
    links: list[ChainLink] = []
    places: dict[str, int] = {}
    current: Task | None = task
    while current is not None:
        places[current["id"]] = len(links)
        link = _link(index, current, places)
        links.append(link)
        following = link["next"]
        if following is None:
            return Chain(links=links, end=_end(link), back_to=None)
        if following in places:
            circle = [each["task"]["id"] for each in links[places[following] :]]
            certain = all(each in index.deadlocked for each in circle)
            return Chain(links=links, end="deadlock" if certain else "circle", back_to=places[following])
        current = index.tasks.get(following)
    return Chain(links=links, end="outside", back_to=None)


def roots(index: Index) -> Iterator[Task]:
    """The tasks that no other task awaits."""
    return (task for task in index.snapshot["tasks"] if not task["awaited_by"])


def _end(link: ChainLink) -> str:
    state = link["task"]["state"]
    return "outside" if state == "waiting" or state is None else state


def _link(index: Index, task: Task, places: dict[str, int]) -> ChainLink:
    wait = task["waits_for"]
    own = [frame for frame in task["stack"] if not frame["asyncio"]] or task["stack"]
    innermost = task["stack"][-1] if task["stack"] else None
    link = ChainLink(
        task=task,
        where=own[-1] if own else None,
        inside=innermost["function"] if innermost is not None and innermost is not own[-1] else None,
        wait=wait,
        primitive=None,
        next=None,
        how=None,
        others=0,
    )
    if wait is None:
        return link
    if wait["primitive"] is not None:
        link["primitive"] = primitive = index.primitives.get(wait["primitive"])
        holders = [] if primitive is None or primitive["kind"] not in ("lock", "semaphore") else primitive["holders"]
        if holders:
            chosen = _most_telling(index, holders, places)
            link["next"], link["how"], link["others"] = chosen["task"], chosen["how"], len(holders) - 1
    elif wait["tasks"]:
        named = [index.tasks[each] for each in wait["tasks"] if each in index.tasks]
        if named:
            following = min(named, key=lambda each: _rank(index, each, places))
            link["next"], link["others"] = following["id"], wait["tasks_total"] - 1
    return link


def _most_telling(index: Index, holders: list[Holder], places: dict[str, int]) -> Holder:
    known = [each for each in holders if each["task"] in index.tasks] or holders
    return min(
        known, key=lambda each: _rank(index, index.tasks[each["task"]], places) if each["task"] in index.tasks else 9
    )


def _rank(index: Index, task: Task, places: dict[str, int]) -> int:
    """Which of several tasks to follow: deadlocked ones first, those that sleep or run last."""
    if task["id"] in index.deadlocked:
        return 0
    wait = task["waits_for"]
    if wait is None:
        return 5
    if wait["kind"] in ("sleep", "executor", "child"):
        return 4
    return 2 if task["id"] not in places else 1
