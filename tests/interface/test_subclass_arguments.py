"""A subclass may take its own constructor arguments and pass the class's own to it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ferrio

CLASSES: dict[str, Callable[[], tuple]] = {
    "Timeout": lambda: (1.0,),
    "Lock": tuple,
    "Event": tuple,
    "Semaphore": lambda: (1,),
    "BoundedSemaphore": lambda: (1,),
    "Condition": tuple,
    "Barrier": lambda: (2,),
    "Queue": lambda: (3,),
    "PriorityQueue": lambda: (3,),
    "LifoQueue": lambda: (3,),
    "TaskGroup": tuple,
    "Runner": tuple,
    "StreamReader": tuple,
    "StreamReaderProtocol": lambda: (ferrio.StreamReader(),),
    "Future": tuple,
    "Task": lambda: (asyncio.sleep(0),),
    "EventLoop": tuple,
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_subclass_has_its_own_arguments(name):
    base: Any = getattr(ferrio, name)

    class Own(base):
        def __init__(self, first, second, *, third):
            super().__init__(*CLASSES[name]())
            self.mine = (first, second, third)

    async def main():
        made = Own("first", 2, third=None)
        assert made.mine == ("first", 2, None)
        if name == "Task":
            await made
        if name == "EventLoop":
            made.close()

    ferrio.run(main())


def test_a_timeout_of_ones_own_ends_its_body():
    class Deadline(ferrio.Timeout):  # type: ignore[misc] # final, as asyncio's: it can be subclassed all the same
        def __init__(self, seconds, name):
            super().__init__(asyncio.get_running_loop().time() + seconds)
            self.name = name

    async def main():
        with pytest.raises(TimeoutError):
            async with Deadline(0.01, "mine") as deadline:
                await asyncio.sleep(10)
        assert (deadline.name, deadline.expired()) == ("mine", True)

    ferrio.run(main())


def test_a_timeouts_own_reschedule_is_called_when_it_is_entered():
    class Capped(ferrio.Timeout):  # type: ignore[misc]
        def reschedule(self, when):
            super().reschedule(min(when, asyncio.get_running_loop().time() + 0.01))

    async def main():
        with pytest.raises(TimeoutError):
            async with Capped(asyncio.get_running_loop().time() + 1000):
                await asyncio.sleep(10)

    ferrio.run(main())


def test_what_no_class_takes_is_refused():
    for refused in (lambda: ferrio.Timeout(), lambda: ferrio.Timeout(1, 2), lambda: ferrio.EventLoop(1)):
        with pytest.raises(TypeError):
            refused()
