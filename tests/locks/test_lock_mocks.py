"""Locks and queues as seen by `mock.create_autospec`, `inspect` and `copy`."""

import asyncio
import copy
import inspect
from unittest import mock

import pytest

import ferrio


@pytest.mark.parametrize("name", ["Lock", "Semaphore", "BoundedSemaphore", "Condition", "Barrier"])
@pytest.mark.parametrize("module", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_mocks_by_specification_can_be_entered(module, name):
    made = mock.create_autospec(getattr(module, name), instance=True)

    async def main():
        async with made:
            pass

    asyncio.run(main())
    made.__aenter__.assert_awaited_once_with()
    made.__aexit__.assert_awaited_once_with(None, None, None)


@pytest.mark.parametrize("name", ["Lock", "Semaphore", "Condition", "Barrier"])
def test_entering_and_leaving_look_like_coroutine_functions(name):
    for method in ("__aenter__", "__aexit__"):
        theirs, ours = (getattr(getattr(module, name), method) for module in (asyncio, ferrio))
        assert inspect.iscoroutinefunction(ours)
        assert (ours.__name__, ours.__qualname__) == (method, f"{name}.{method}")
        if name != "Barrier":
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("name", ["Lock", "Event", "Condition", "Semaphore", "Queue", "PriorityQueue", "LifoQueue"])
def test_locks_and_queues_are_not_copied(name):
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.deepcopy(getattr(ferrio, name)())
