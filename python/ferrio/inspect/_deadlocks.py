"""Circles of tasks that wait for each other.

Only waits that can end in one way count: for a task, for all tasks of a group, for a lock whose holder is known. A
circle is reported after a second look at each of its tasks: a task that still waits for the same future has not run in
between, so it has released nothing, and all links held at one time. Nor may another task release a lock of the circle
(`_releasers`). A busy program that is correct has no such circle.
"""

from typing import TYPE_CHECKING, Any

from ferrio.inspect._looks import held_by, still_waits
from ferrio.inspect._model import Deadlock, Link
from ferrio.inspect._objects import identifier, kind_of
from ferrio.inspect._primitives import is_locked
from ferrio.inspect._releasers import may_be_released

if TYPE_CHECKING:
    from ferrio.inspect._collect import Collection


def find(collection: "Collection", links: dict[str, list[Link]]) -> list[Deadlock]:
    """The circles that there are; `links` has what `links_of` gives for the tasks that wait."""
    found: list[Deadlock] = []
    for circle in _circles({name: [link["waits_for"] for link in each] for name, each in links.items()}):
        chosen = [
            next(link for link in links[name] if link["waits_for"] == following)
            for name, following in zip(circle, circle[1:] + circle[:1], strict=True)
        ]
        if all(_holds_still(collection, link) for link in chosen) and not may_be_released(collection, chosen):
            found.append(Deadlock(links=chosen, has_timeout=_has_timeout(collection, circle)))
    return found


def links_of(collection: "Collection", name: str) -> list[Link]:
    """The tasks that have to go on before this one can."""
    waiting = collection.waits[name]
    if waiting.needs == "all":
        named = [identifier(each) for each in waiting.tasks]
        return [Link(task=name, primitive=None, waits_for=each, how=None) for each in named if each in collection.looks]
    lock = waiting.primitive
    if lock is None or kind_of(lock) != "lock" or not is_locked(lock):
        return []
    holders = collection.holders(lock)
    if len({each["task"] for each in holders}) != 1:
        return []
    holder = holders[0]
    return [Link(task=name, primitive=identifier(lock), waits_for=holder["task"], how=holder["how"])]


def _holds_still(collection: "Collection", link: Link) -> bool:
    """Whether what was seen is still so."""
    look = collection.looks[link["task"]]
    if not still_waits(look):
        return False
    if link["primitive"] is None:
        return True
    lock = collection.primitives.met[link["primitive"]]
    if not is_locked(lock):
        return False
    holder = collection.looks[link["waits_for"]]
    if link["how"] == "recorded":
        holders = {each["task"] for each in collection.holders(lock)}
        return still_waits(holder) and holders == {link["waits_for"]}
    return still_waits(holder) and any(held is lock for held, _ in held_by(holder))


def _circles(graph: dict[str, list[str]]) -> list[list[str]]:
    """One circle of each strongly connected part that has any: a depth-first search without recursion."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        places: dict[str, int] = {}
        stack: list[tuple[str, Any]] = [(start, None)]
        while stack:
            name, following = stack.pop()
            if following is None:
                if name in done or name not in graph:
                    continue
                if name in places:
                    circle = path[places[name] :]
                    found.append(circle)
                    done.update(circle)
                    continue
                places[name] = len(path)
                path.append(name)
                following = iter(graph[name])
            each = next(following, None)
            if each is None:
                done.add(name)
                path.pop()
                del places[name]
                continue
            stack.append((name, following))
            stack.append((each, None))
    return found


def _has_timeout(collection: "Collection", circle: list[str]) -> bool:
    """Whether a timeout ends the wait of one of these tasks, or of one that awaits them."""
    awaiters: dict[str, list[str]] = {}
    for name, waiting in collection.waits.items():
        for each in waiting.tasks:
            awaiters.setdefault(identifier(each), []).append(name)
    pending, seen = list(circle), set(circle)
    while pending:
        name = pending.pop()
        look = collection.looks.get(name)
        if look is not None and look.timeouts:
            return True
        for each in awaiters.get(name, ()):
            if each not in seen:
                seen.add(each)
                pending.append(each)
    return False
