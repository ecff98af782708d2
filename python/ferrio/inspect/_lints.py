"""Lints: what is wrong, or soon will be, in a program that still runs.

A lint says what was seen, not what is guessed: a correct program has none, however busy it is. Some need what is
recorded while inspection is on, and some several looks; `History` remembers those between snapshots.
"""

import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ferrio._ferrio import _failed_futures
from ferrio.inspect import _recording
from ferrio.inspect._growth import LOOKS, Growth
from ferrio.inspect._kept import references_from
from ferrio.inspect._lint_limits import LintLimits
from ferrio.inspect._looks import Look
from ferrio.inspect._model import Creation, Frame, Lint, Times
from ferrio.inspect._objects import (
    attribute,
    class_name,
    identifier,
    is_task,
    mro_of,
    referents,
    role_of,
    task_name,
    type_name,
)
from ferrio.inspect._places import Place
from ferrio.inspect._primitives import count, is_locked, waiters_now
from ferrio.inspect._registry import loop_of, now_of
from ferrio.inspect._stacks import is_of_asyncio, name_of
from ferrio.inspect._times import times_of

if TYPE_CHECKING:
    from ferrio.inspect._collect import Collection

# How many tasks a lint names, and how many lints there are at most.
_MOST_NAMED = 10
_MOST_LINTS = 100

# The share of its time that a task which spins runs or is ready to, how often a second it runs at least, and for how
# long at a time on average at most, in seconds: one that computes in slices does something.
_SPINS = 0.99
_SPINS_OFTEN = 50
_SPINS_SHORTLY = 0.0005

# How many objects a look goes through in search of queues, and how many queues, places and tasks are remembered.
_MOST_OBJECTS = 20_000
_MOST_REMEMBERED = 10_000

# After so many tasks other threads may run.
_SLICE = 50


class History:
    """What is remembered between looks. Everything is forgotten when recording ends."""

    def __init__(self) -> None:
        self.queues: dict[str, Growth] = {}
        # By the file, the function and the line that create tasks.
        self.places: dict[tuple[str, str, int], Place] = {}
        # The times of tasks at an earlier look: when that was, when the task was created, polls and busy seconds.
        self.times: dict[str, tuple[float, float, int, float]] = {}
        # asyncio's own tasks whose exception nobody has asked for, and when that was first seen, in nanoseconds.
        self.failures: dict[str, tuple[weakref.ref[Any], int]] = {}


limits = LintLimits()
_history = History()


def forget() -> None:
    """Forgets what was seen, and the limits."""
    global limits, _history
    limits, _history = LintLimits(), History()


def restrict(wanted: LintLimits) -> None:
    """Sets the limits."""
    global limits
    limits = wanted


class Lints:
    """The lints of one look."""

    def __init__(self, collection: "Collection") -> None:
        self.found: list[Lint] = []
        # Weak: a circle would keep the tasks that were looked at until the garbage collector runs.
        self._collection: Collection = weakref.proxy(collection)
        self._now = time.monotonic()
        # By what they have in common: a fault in one line makes one lint, whatever number of tasks it has.
        self._groups: dict[tuple[str, Any], list[tuple[str, Look, str]]] = {}
        self._times: dict[str, Times | None] = {}
        self._created: dict[str, tuple[Creation | None, float | None]] = {}
        # The number of entries of each queue that was seen, while that is recorded.
        self.queue_lengths: list[int] = []

    def slices(self) -> Iterator[None]:
        """Looks; each step takes a bounded time."""
        recorded = _recording.seconds_since_start() is not None
        looks = self._collection.looks
        for place, (name, look) in enumerate(list(looks.items())):
            if recorded:
                self._created[name] = _recording.creation_of(look.task, looks)
                self._see_times(name, look)
            self._see_keepers(name, look)
            if place % _SLICE == _SLICE - 1:
                yield
        self._tell_groups()
        yield from self._see_locks()
        if recorded:
            self._see_failures()
            yield from self._see_places()
            yield from self._see_queues()
        del self.found[_MOST_LINTS:]

    def created(self, name: str) -> tuple[Creation | None, float | None] | None:
        """What is known of a task's creation, if that was looked up."""
        return self._created.get(name)

    def times(self, task: Any, name: str) -> Times | None:
        """The times of a task, looked up once."""
        if name not in self._times:
            self._times[name] = times_of(task, self._collection.looks)
        return self._times[name]

    def _see_keepers(self, name: str, look: Look) -> None:
        others = self._collection.references.get(name)
        if look.waiter is None or others is None or others != references_from(look.waiter, look.task):
            return
        age = self._created.get(name, (None, None))[1]
        if attribute(loop_of(look.task), "_closed") is True:
            # Nothing goes on there.
            return
        if self._collection.awaiters(name) or (age is not None and age < limits.lost_task):
            return
        self._add("lost task", name, look, "")

    def _see_times(self, name: str, look: Look) -> None:
        times, created = self.times(look.task, name), self._created[name][1]
        if times is None or created is None or times["scheduled"] is None:
            return
        born, busy = time.monotonic() - created, times["total"] + times["scheduled"]
        known = _history.times.get(name)
        # Addresses are used again: a task that was created at another time is another one.
        since, _, polls, before = known if known is not None and abs(known[1] - born) < 0.05 else (born, born, 0, 0.0)
        passed = self._now - since
        if passed < limits.spinning:
            return
        waker, ran = times["woken_by"], times["polls"] - polls
        wakes_itself = waker is not None and waker["kind"] == "task" and waker["task"] == name
        is_busy = busy - before >= _SPINS * passed and times["total"] <= _SPINS_SHORTLY * times["polls"]
        if wakes_itself and is_busy and ran >= max(_SPINS_OFTEN * passed, LOOKS):
            self._add("spinning task", name, look, f"{ran} times in {passed:.1f} s")
        if len(_history.times) < _MOST_REMEMBERED or name in _history.times:
            _history.times[name] = (self._now, born, times["polls"], busy)

    def _add(self, kind: str, name: str, look: Look, more: str) -> None:
        created = self._created.get(name, (None, None))[0]
        key = (created["file"], created["line"]) if created is not None else _coroutine_name(look)
        self._groups.setdefault((kind, key), []).append((name, look, more))

    def _tell_groups(self) -> None:
        for (kind, _), group in self._groups.items():
            name, look, more = group[0]
            whom = self._whom(name, look) if len(group) == 1 else f"{len(group)} tasks like {self._whom(name, look)}"
            if kind == "lost task":
                text = (
                    f"{whom}: nobody keeps a reference but what it waits for, so the garbage collector may take it; "
                    "keep it, for example in a set, or use a task group"
                )
            else:
                text = f"{whom}: it wakes itself and never waits, it ran {more}; let it wait for what it looks for"
            self._tell(kind, text, [each for each, _, _ in group], where=self._place_of(name, look))

    def _see_locks(self) -> Iterator[None]:
        deadlocked = {link["task"] for each in self._collection.deadlocks for link in each["links"]}
        for place, (name, thing) in enumerate(list(self._collection.primitives.met.items())):
            if place % _SLICE == _SLICE - 1:
                yield
            if role_of(thing) != "lock" or not is_locked(thing) or not count(thing, "_waiters"):
                continue
            holders = self._collection.holders(thing)
            longest = max((each["held"] or 0.0 for each in holders), default=0.0)
            if longest < limits.held_lock or any(each["task"] in deadlocked for each in holders):
                continue
            holder = next(each for each in holders if (each["held"] or 0.0) == longest)
            look = self._collection.looks.get(holder["task"])
            waiting = len(waiters_now(thing, "_waiters"))
            whom = holder["task"] if look is None else self._whom(holder["task"], look)
            verb = "waits" if waiting == 1 else "wait"
            text = f"lock {name} is held for {longest:.1f} s by {whom}, and {waiting} {verb} for it"
            where = self._place_of(holder["task"], look, creation=False)
            if holder["function"] is not None:
                # That of its `async with`.
                file, line = holder["file"], holder["line"]
                where = Frame(function=holder["function"], file=file, line=line, asyncio=False)
            self._tell("held lock", text, [holder["task"]], primitive=name, where=where, lasts=longest)

    def _see_failures(self) -> None:
        now = time.monotonic_ns()
        failures = {id(future): (future, at) for future, at in _failed_futures()}
        # asyncio's own tasks: since when is known from the first look that has seen it.
        known = _history.failures
        _history.failures = {}
        for name, task in self._collection.failed.items():
            reference, at = known.get(name, (None, now))
            if reference is None or reference() is not task:
                reference, at = weakref.ref(task), now
            _history.failures[name] = (reference, at)
            failures.setdefault(id(task), (task, at))
        for future, at in failures.values():
            lasts = (now - at) / 1e9
            if lasts >= limits.lost_exception and attribute(future, "_log_traceback") is True:
                self._tell_failure(future, lasts)

    def _tell_failure(self, future: Any, lasts: float) -> None:
        error = type_name(attribute(future, "_exception")).removeprefix("builtins.")
        whom, created = "a future", None
        if is_task(future):
            coroutine = attribute(future, "_coro")
            whom = f"task '{task_name(future)}'" + ("" if coroutine is None else f" ({name_of(coroutine)})")
            created = _recording.creation_of(future, self._collection.looks)[0]
        text = (
            f"{whom} failed {lasts:.1f} s ago with {error}, and nobody has asked for that; "
            "await it, or give it a done callback that does"
        )
        where = None if created is None else _frame(created)
        self._tell("lost exception", text, [identifier(future)], where=where, lasts=lasts)

    def _see_places(self) -> Iterator[None]:
        gap, connections = limits.growing / LOOKS, self._collection.watched.count_connections()
        there: dict[tuple[str, str, int], list[str]] = {}
        for number, (name, (created, age)) in enumerate(self._created.items()):
            if created is not None and (age or 0.0) >= gap and not self._goes_on(name, gap):
                there.setdefault((created["file"], created["function"], created["line"]), []).append(name)
            if number % _SLICE == _SLICE - 1:
                yield
        places: dict[tuple[str, str, int], Place] = {}
        for (file, function, line), names in list(there.items())[:_MOST_REMEMBERED]:
            place = places[file, function, line] = _history.places.get((file, function, line), Place())
            place.look(self._now, frozenset(names), connections, gap)
            if (grown := place.leak(self._now, limits.growing, limits.growing_tasks)) is None:
                continue
            lasts, first, last = grown
            text = (
                f"tasks created at {function} ({file}:{line}) grow, and those that are there stay: "
                f"{first} became {last} in {lasts:.1f} s"
            )
            frame = Frame(function=function, file=file, line=line, asyncio=False)
            self._tell("growing tasks", text, names, where=frame, lasts=lasts)
        _history.places = places

    def _goes_on(self, name: str, gap: float) -> bool:
        """Whether a task will go on without the program's doing: by its peer, or by a timer that is due later."""
        waiting = self._collection.waits.get(name)
        if waiting is None:
            return False
        if waiting.kind.startswith("stream") or (waiting.until or 0.0) > gap:
            return True
        look = self._collection.looks[name]
        now = now_of(loop_of(look.task)) if look.timeouts else None
        due = [when for each in look.timeouts if isinstance(when := attribute(each, "_when"), (int, float))]
        return now is not None and bool(due) and min(due) - now > gap

    def _see_queues(self) -> Iterator[None]:
        queues: dict[str, tuple[Any, str | None]] = {}
        for name, thing in self._collection.primitives.met.items():
            if role_of(thing) == "queue":
                queues[name] = (thing, None)
        seen: set[int] = set()
        for place, (user, near) in enumerate(list(self._collection.looks.items())):
            for thing in _queues_near(near, seen):
                queues.setdefault(identifier(thing), (thing, user))
            if len(seen) > _MOST_OBJECTS:
                break
            if place % _SLICE == _SLICE - 1:
                yield
        gap, known = limits.growing / LOOKS, {}
        for place, (name, (thing, task)) in enumerate(list(queues.items())[:_MOST_REMEMBERED]):
            if place % _SLICE == _SLICE - 1:
                yield
            limit, entries = attribute(thing, "_maxsize"), count(thing, "_queue")
            self.queue_lengths.append(entries)
            if type(limit) is int and limit > 0:
                continue
            growth = known[name] = _history.queues.get(name, Growth())
            growth.add(self._now, entries, gap)
            if (grown := growth.over(self._now, limits.growing, limits.growing_queue)) is None:
                continue
            lasts, first, last = grown
            look = self._collection.looks.get(task or "")
            whose = "" if task is None or look is None else f", which {self._whom(task, look)} uses,"
            text = f"queue {name}{whose} has only grown: {first} entries became {last} in {lasts:.1f} s"
            where = None if task is None else self._place_of(task, look, creation=False)
            self._tell("growing queue", text, [task] if task else [], primitive=name, where=where, lasts=lasts)
        _history.queues = known

    def _whom(self, name: str, look: Look) -> str:
        created = self._created.get(name, (None, None))[0]
        where = "" if created is None else f", created at {created['function']} ({created['file']}:{created['line']})"
        return f"task '{task_name(look.task)}' ({_coroutine_name(look)}{where})"

    def _place_of(self, name: str, look: Look | None, *, creation: bool = True) -> Frame | None:
        created = self._created.get(name, (None, None))[0]
        if creation and created is not None:
            return _frame(created)
        stack = [] if look is None else self._collection.stack(look)
        own = [each for each in stack if not each["asyncio"]] or stack
        return own[-1] if own else None

    def _tell(
        self,
        kind: str,
        text: str,
        tasks: list[str],
        *,
        primitive: str | None = None,
        where: Frame | None = None,
        lasts: float | None = None,
    ) -> None:
        named, total = tasks[:_MOST_NAMED], len(tasks)
        self.found.append(
            Lint(
                kind=kind,  # type: ignore[typeddict-item]
                text=text,
                tasks=named,
                tasks_total=total,
                primitive=primitive,
                where=where,
                lasts=lasts,
            )
        )


def _coroutine_name(look: Look) -> str:
    return name_of(look.coroutines[0]) if look.coroutines else "?"


def _frame(created: Creation) -> Frame:
    file = created["file"]
    return Frame(function=created["function"], file=file, line=created["line"], asyncio=is_of_asyncio(file))


# The flag of classes that are made at run time, and how many attributes of an object are looked at.
_HEAP_TYPE = 1 << 9
_MOST_ATTRIBUTES = 200


def _queues_near(look: Look, seen: set[int]) -> Iterator[Any]:
    """The queues in a task's functions: in their variables, and in the attributes of objects there, such as `self`."""
    for coroutine in look.coroutines:
        for each in referents(coroutine):
            role = role_of(each)
            if role == "queue":
                yield each
            elif not role and id(each) not in seen and _is_plain(each):
                seen.add(id(each))
                for inner in referents(each):
                    parts = referents(inner) if type(inner) is dict and len(inner) <= _MOST_ATTRIBUTES else (inner,)
                    yield from (part for part in parts if role_of(part) == "queue")


def _is_plain(thing: Any) -> bool:
    """Whether it is an object of one of the program's classes."""
    kind = type(thing)
    is_made = bool(type.__dict__["__flags__"].__get__(kind) & _HEAP_TYPE)
    return is_made and type not in mro_of(kind) and not class_name(kind).startswith("ferrio.")
