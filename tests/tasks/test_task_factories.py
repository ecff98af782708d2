"""A task factory is called, and its task named, as by asyncio's own loop of the running Python."""

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import ferrio


class Named:
    """What a factory may give in place of a task: knows how it was named."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    def set_name(self, *arguments: object) -> None:
        self.seen.append(("set_name", arguments))


class Unnamed:
    pass


CONTEXT = contextvars.copy_context()
CALLS: dict[str, dict[str, Any]] = {
    "alone": {},
    "name": {"name": "a"},
    "no name": {"name": None},
    "odd name": {"name": 7},
    "context": {"context": CONTEXT},
    "no context": {"context": None},
    "name and context": {"name": "a", "context": CONTEXT},
    "neither": {"name": None, "context": None},
    "eager": {"eager_start": True},
    "many": {"name": "a", "context": CONTEXT, "eager_start": False, "one": 1, "two": 2, "three": 3},
    "unknown": {"nothing": 1},
}


def observed(loop: asyncio.AbstractEventLoop, made: type, keywords: dict[str, Any]) -> list[object]:
    seen: list[object] = []

    def factory(*arguments: object, **options: object) -> object:
        seen.append(("factory", arguments[0] is loop, arguments[1:], options))
        return made(seen) if made is Named else made()

    loop.set_task_factory(factory)
    try:
        seen.append(type(loop.create_task("a coroutine", **keywords)))
    except Exception as error:
        seen.append((type(error), str(error).rpartition(".")[2]))
    loop.close()
    try:
        loop.create_task("a coroutine")
    except RuntimeError as error:
        seen.append(str(error))
    return seen


@pytest.mark.parametrize("made", [Named, Unnamed])
@pytest.mark.parametrize("call", CALLS)
def test_a_factory_gets_what_asyncios_loop_gives_it(call, made):
    ours = observed(ferrio.new_event_loop(), made, CALLS[call])
    assert ours == observed(asyncio.SelectorEventLoop(), made, CALLS[call])


@pytest.mark.parametrize("loop_factory", [asyncio.SelectorEventLoop, ferrio.new_event_loop], ids=["stock", "ferrio"])
def test_a_factory_that_raises_has_said_it(loop_factory: Callable[[], asyncio.AbstractEventLoop]):
    loop = loop_factory()
    loop.set_task_factory(lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.create_task("a coroutine")
    loop.close()


def test_a_factory_may_replace_itself():
    loop = ferrio.new_event_loop()

    def factory(*_: object, **__: object) -> object:
        loop.set_task_factory(None)
        return Named([])

    loop.set_task_factory(factory)
    assert isinstance(loop.create_task("a coroutine"), Named)
    assert loop.get_task_factory() is None
    loop.close()


def test_a_factory_that_holds_its_loop_is_collected_with_it():
    class Factory:
        def __call__(self, *_: object, **__: object) -> object:
            raise AssertionError

    def make() -> weakref.ref[Factory]:
        loop, factory = ferrio.new_event_loop(), Factory()
        factory.loop = loop
        loop.set_task_factory(factory)
        loop.close()
        return weakref.ref(factory)

    reference = make()
    gc.collect()
    assert reference() is None
