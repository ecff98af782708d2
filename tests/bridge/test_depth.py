"""Chains of coroutines that await one another: too deep ones raise, and any number of levels is freed."""

import asyncio

import pytest
import rust_extension

LEVELS = 100_000


def chain(awaitable):
    for _ in range(LEVELS):
        awaitable = rust_extension.awaited(awaitable)
    return awaitable


def test_chain_that_is_too_deep_is_a_recursion_error(loop):
    async def main():
        with pytest.raises(RecursionError, match="maximum recursion depth exceeded while resuming a Rust future"):
            await chain(asyncio.sleep(0))
        return await rust_extension.wake_once(1)

    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert loop.run_until_complete(main()) == 1


def test_long_chain_is_freed():
    with pytest.warns(RuntimeWarning, match="never awaited"):
        chain(None)


def test_chain_of_tasks_may_be_long(loop):
    async def main():
        task = rust_extension.ready(1)
        for _ in range(LEVELS // 10):
            task = rust_extension.nested(task)
        return await task

    assert loop.run_until_complete(main()) == 1


def test_deep_chain_waits_and_is_cancelled(loop):
    async def main():
        awaitable = loop.create_future()
        for _ in range(300):
            awaitable = rust_extension.awaited(awaitable)
        task = asyncio.ensure_future(awaitable)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
