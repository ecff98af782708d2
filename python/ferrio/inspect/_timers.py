"""Timers: when each is due, what it will call, and which task waits for it.

The soonest are found first, those of ferrio's loops in Rust; records are made of them one by one later. The timers of a
loop of asyncio's own are looked at slice by slice. Other loops do not show theirs.
"""

import heapq
import itertools
import math
from asyncio import futures
from collections.abc import Iterator
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any, Literal, NamedTuple

from ferrio._ferrio import EventLoop, _timers_of
from ferrio.inspect._jobs import place_of
from ferrio.inspect._looks import Look
from ferrio.inspect._model_io import Timer
from ferrio.inspect._objects import attribute, identifier, mro_of, role_of
from ferrio.inspect._registry import now_of
from ferrio.inspect._watched import MOST_LISTED

# After so many timers of asyncio's other threads may run.
_SLICE = 500


class _Found(NamedTuple):
    # In seconds from when the timers were looked for.
    due: float
    owner: Any
    handle: Any


class Timers:
    """The timers that a collection has met."""

    def __init__(self) -> None:
        # Of each loop the soonest, in their order; and how many there are of all loops.
        self._found: list[list[_Found]] = []
        self._total = 0
        # By the identity of a timer, or of a timeout: the task whose sleep or timeout it ends.
        self._sleepers: dict[int, str] = {}
        self._limited: dict[int, str] = {}

    def see(self, name: str, look: Look, kind: str | None) -> None:
        """Remembers the timers of a task that waits for this kind of thing."""
        if kind == "sleep":
            timer = next((each for each in look.subjects if role_of(each) == "timer"), None)
            if timer is not None:
                self._sleepers[id(timer)] = name
        for each in look.timeouts:
            self._limited[id(each)] = name

    def slices(self, loops: list[Any]) -> Iterator[None]:
        """Collects; each step takes a bounded time."""
        for owner in loops:
            now = now_of(owner)
            if now is None:
                continue
            if EventLoop in mro_of(type(owner)):
                timers, others = _timers_of(owner, MOST_LISTED)
                self._found.append([_Found(when - now, owner, handle) for when, handle in timers])
                self._total += len(timers) + others
            else:
                yield from self._see_stock(owner, now)
            yield

    def _see_stock(self, owner: Any, now: float) -> Iterator[None]:
        """Those of a loop of asyncio's own: the soonest are kept, as a heap with the last one on top."""
        scheduled = attribute(owner, "_scheduled")
        handles = list(scheduled) if type(scheduled) is list else []
        soonest: list[tuple[float, int, Any]] = []
        for place, handle in enumerate(handles):
            when = attribute(handle, "_when")
            if type(when) in (float, int) and attribute(handle, "_cancelled") is not True:
                self._total += 1
                entry = (-_number(when), -place, handle)
                if len(soonest) < MOST_LISTED:
                    heapq.heappush(soonest, entry)
                else:
                    heapq.heappushpop(soonest, entry)
            if place % _SLICE == _SLICE - 1:
                yield
        found: list[_Found] = []
        while soonest:
            latest, _, handle = heapq.heappop(soonest)
            found.append(_Found(-latest - now, owner, handle))
            if len(found) % _SLICE == 0:
                yield
        found.reverse()
        self._found.append(found)

    def callbacks(self) -> Iterator[Any]:
        """What the timers will call."""
        return (attribute(found.handle, "_callback") for each in self._found for found in each)

    @property
    def left_off(self) -> int:
        """How many are not described."""
        return max(self._total - MOST_LISTED, 0)

    def described(self) -> Iterator[Timer]:
        """The timers that have not been cancelled since, the soonest first."""
        merged = heapq.merge(*self._found, key=lambda each: each.due)
        for found in itertools.islice(merged, MOST_LISTED):
            if attribute(found.handle, "_cancelled") is not True:
                yield self._described(found)

    def _described(self, found: _Found) -> Timer:
        handle = found.handle
        callback = attribute(handle, "_callback")
        kind, task = self._purpose(handle, callback)
        function, file, line = (None, None, None) if kind != "callback" or callback is None else place_of(callback)
        return Timer(
            id=identifier(handle),
            loop=identifier(found.owner),
            kind=kind,
            due=found.due if math.isfinite(found.due) else None,
            function=function,
            file=file,
            line=line,
            task=task,
        )

    def _purpose(self, handle: Any, callback: Any) -> tuple[Literal["sleep", "timeout", "callback"], str | None]:
        """What a timer is for, and the task that it is about."""
        # A timer of ferrio's own has an object in place of a callback.
        target = callback.__self__ if type(callback) in (MethodType, BuiltinMethodType) else callback
        for each in (handle, target):
            if (task := self._limited.get(id(each))) is not None:
                return "timeout", task
        task = self._sleepers.get(id(handle))
        if task is not None or role_of(callback) == "future" or _is_of_sleep(callback):
            return "sleep", task
        return ("timeout" if role_of(target) == "timeout" else "callback"), None


def _is_of_sleep(callback: Any) -> bool:
    """Whether this is the function that ends `asyncio.sleep`."""
    return type(callback) is FunctionType and callback is vars(futures).get("_set_result_unless_cancelled")


def _number(when: float) -> float:
    """An instant that can be compared: NaN is due at once, and an integer may be too large."""
    try:
        value = float(when)
    except OverflowError:
        return math.inf if when > 0 else -math.inf
    return -math.inf if math.isnan(value) else value
