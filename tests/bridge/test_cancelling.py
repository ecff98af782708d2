"""Cancelling at each level: the future is dropped on the loop's thread before the awaiter learns of it."""

import asyncio
import contextlib
import sys
import threading

import pytest
import rust_extension


def test_cancelling_drops_the_future_before_the_awaiter_knows(loop):
    events = []

    def dropped(name):
        events.append((name, threading.get_ident() == thread))

    async def main():
        task = rust_extension.idle("future", dropped)
        await asyncio.sleep(0)
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        events.append("awaiter")
        return task.cancelled()

    thread = threading.get_ident()
    assert loop.run_until_complete(main())
    assert events == [("future", True), "awaiter"]


def test_task_cancelled_before_it_begins_drops_its_future(loop):
    events = []

    async def main():
        task = rust_extension.idle("future", events.append)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
    assert events == ["future"]


@pytest.mark.parametrize("level", ["outer", "rust", "inner"])
def test_cancel_at_each_level_reaches_the_innermost_first(loop, level):
    events = []
    tasks: dict = {}

    async def inner():
        tasks["inner"] = asyncio.current_task()
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            events.append("inner")
            await asyncio.sleep(0)
            events.append("inner is clean")
            raise

    async def outer():
        tasks["rust"] = rust_extension.nested(inner())
        try:
            await tasks["rust"]
        except asyncio.CancelledError:
            events.append("outer")
            raise

    async def main():
        tasks["outer"] = asyncio.ensure_future(outer())
        for _ in range(5):
            await asyncio.sleep(0)
        tasks[level].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks["outer"]
        return tasks["outer"].cancelled()

    assert loop.run_until_complete(main())
    assert events == ["inner", "inner is clean", "outer"]


def test_awaited_code_may_refuse_to_be_cancelled(loop):
    async def stubborn():
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            return "refused"

    async def main():
        task = rust_extension.nested(stubborn())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        return await task

    assert loop.run_until_complete(main()) == "refused"


def test_cancelling_two_awaits_at_a_time_cancels_both(loop):
    events = []

    async def each(name):
        try:
            await loop.create_future()
        finally:
            events.append(name)

    async def main():
        task = asyncio.ensure_future(rust_extension.both(each(1), each(2)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
    assert sorted(events) == [1, 2]


def test_timeout_around_rust_and_rust_around_timeout(loop):
    async def python(awaitable):
        async with asyncio.timeout(0.001):
            await awaitable

    async def main():
        events = []
        with pytest.raises(TimeoutError):
            await python(rust_extension.idle("future", events.append))
        with pytest.raises(TimeoutError):
            await rust_extension.nested(python(loop.create_future()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rust_extension.awaited(loop.create_future()), 0.001)
        return events

    assert loop.run_until_complete(main()) == ["future"]


def test_sleeping_task_that_is_cancelled_leaves_no_timer(loop):
    async def main():
        task = rust_extension.slept(3600, None)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
    assert all(handle.cancelled() for handle in getattr(loop, "_scheduled", ()))


def test_close_closes_the_awaited_code(loop):
    events = []

    async def inner():
        try:
            await loop.create_future()
        except GeneratorExit:
            events.append("closed")
            raise

    async def main():
        coroutine = rust_extension.awaited(inner())
        coroutine.send(None)
        assert coroutine.cr_suspended
        coroutine.close()
        assert not coroutine.cr_suspended

    loop.run_until_complete(main())
    assert events == ["closed"]


def test_notification_of_a_cancelled_task_goes_to_the_next(loop):
    async def main():
        gate = rust_extension.Gate()
        first, second = gate.wait(), gate.wait()
        await asyncio.sleep(0)
        gate.open_for_one()
        first.cancel()
        await second
        return first.cancelled()

    assert loop.run_until_complete(main())


def test_drop_that_raises_is_reported_and_does_not_stop_the_cancel(loop, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(repr(unraisable.exc_value)))

    def dropped(_):
        raise KeyError("in drop")

    async def main():
        task = rust_extension.idle("future", dropped)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
    assert reported == ["KeyError('in drop')"]


def test_running_coroutine_refuses_to_be_resumed(loop):
    errors = []

    class Reentrant:
        def __await__(self):
            for action in (lambda: coroutine.send(None), coroutine.close, lambda: coroutine.throw(KeyError())):
                with pytest.raises(ValueError, match="coroutine already executing") as caught:
                    action()
                errors.append(caught.value)
            assert coroutine.cr_running
            return iter(())

    async def main():
        await coroutine

    coroutine = rust_extension.awaited(Reentrant())
    loop.run_until_complete(main())
    assert len(errors) == 3


def test_waiters_cancelled_from_the_back_leave_the_others_in_their_order(loop):
    async def main():
        gate = rust_extension.Gate()
        tasks = [gate.wait() for _ in range(2_000)]
        ended = []
        for number, task in enumerate(tasks):
            task.add_done_callback(lambda _, number=number: ended.append(number))
        await asyncio.sleep(0)
        for task in reversed(tasks[1_000:]):
            task.cancel()
        gate.open_for_one()
        await tasks[0]
        gate.open_for_all()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[:1_000] == [None] * 1_000
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1_000:])
        await asyncio.sleep(0)
        return [number for number in ended if number < 1_000]

    assert loop.run_until_complete(main()) == list(range(1_000))
