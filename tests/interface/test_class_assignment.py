"""Assigning `__class__` works or fails as on stock asyncio."""

import asyncio
from typing import Any

import pytest

import ferrio
from tests.odd_numbers.observation import MODES
from tests.support.differential import masked, trace_on


def subclass(base: type) -> type:
    return type("Own" + base.__name__, (base,), {"__slots__": ()})


def makers(loop):
    async def nothing():
        pass

    return {
        "future": (loop.create_future, asyncio.Future),
        "task": (lambda: loop.create_task(nothing()), asyncio.Task),
        "own future": (lambda: subclass(asyncio.Future)(loop=loop), asyncio.Future),
        "own task": (lambda: subclass(asyncio.Task)(nothing(), loop=loop), asyncio.Task),
        "timer": (lambda: loop.call_later(1000, print), asyncio.TimerHandle),
        "lock": (asyncio.Lock, asyncio.Lock),
        "queue": (asyncio.Queue, asyncio.Queue),
        "timeout": (lambda: asyncio.timeout(1), asyncio.Timeout),
        "reader": (asyncio.StreamReader, asyncio.StreamReader),
    }


def assigned(make, public):
    shown = []
    targets = {
        "public": lambda: public,
        "sibling": lambda: subclass(public),
        "int": lambda: int,
        "none": lambda: None,
    }
    for name, target in targets.items():
        thing = make()
        try:
            thing.__class__ = target()
            shown.append((name, "assigned", isinstance(thing, public)))
        except TypeError as error:
            shown.append((name, masked(error).partition(":")[0]))
    try:
        del make().__class__
    except TypeError as error:
        shown.append(masked(error))
    return shown


# A handle's class cannot be derived from.
NOT_COMPARED = {("timer", "sibling")}


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "stock"])
def test_a_class_is_assigned_as_on_asyncio(mode):
    def observe(mode):
        factory, in_place = MODES[mode]
        with in_place():
            loop = factory()
            asyncio.set_event_loop(loop)
            try:
                return loop.run_until_complete(everything(loop))
            finally:
                asyncio.set_event_loop(None)
                loop.close()

    async def everything(loop):
        seen = {}
        for name, (make, public) in makers(loop).items():
            if mode == "loop" and name.startswith("own"):
                continue  # asyncio's own classes
            seen[name] = [each for each in assigned(make, public) if (name, each[0]) not in NOT_COMPARED]
        await asyncio.sleep(0)
        return seen

    assert observe(mode) == observe("stock")


def test_a_class_of_another_layout_is_refused():
    class Plain:
        pass

    things: list[Any] = [ferrio.Lock(), ferrio.Queue(), ferrio.Event()]
    for thing in things:
        with pytest.raises(TypeError, match="object layout differs"):
            thing.__class__ = Plain


def test_a_task_of_one_subclass_becomes_one_of_another():
    async def scenario(trace):
        class First(asyncio.Task):
            def word(self):
                return "first"

        class Second(asyncio.Task):
            def word(self):
                return "second"

        async def one():
            return 1

        task: Any = First(one(), loop=asyncio.get_running_loop())
        trace.append(task.word())
        task.__class__ = Second
        trace.append((task.word(), await task, type(task) is Second))

    stock = trace_on("stock", scenario)
    _, in_place = MODES["whole"]
    with in_place():
        assert trace_on("ferrio", scenario) == stock
