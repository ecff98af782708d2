"""A panic, wherever Rust code of an extension runs, is an error there: nothing unwinds into C, the loop goes on."""

import asyncio
import gc
import sys

import pytest
import rust_extension

IN_THE_TASK = {
    "poll": "in a poll",
    "later poll": "in a destructor",
    "drop of a finished future": "in a destructor",
    "operation": "in an operation",
    "waker of an await": "in a waker",
}


class Woken:
    """Awaiting it takes one turn."""

    def __await__(self):
        yield


@pytest.fixture
def unraisable(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda entry: seen.append(str(entry.exc_value)))
    return seen


@pytest.fixture
def contexts(loop):
    seen = []
    loop.set_exception_handler(lambda _, context: seen.append(str(context["exception"])))
    return seen


async def others_go_on():
    assert await rust_extension.wake_once(1) == 1


async def cancel(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("place", IN_THE_TASK)
def test_panic_of_the_future_is_its_tasks_error(loop, place, capfd, contexts):
    async def main():
        with pytest.raises(RuntimeError, match=f"a Rust future panicked: {IN_THE_TASK[place]}"):
            await rust_extension.panicking_in(place, Woken())
        await others_go_on()

    loop.run_until_complete(main())
    assert contexts == []


def test_panic_of_a_cancelled_futures_destructor_does_not_stop_the_cancel(loop, capfd, unraisable):
    async def main():
        task = rust_extension.panicking_in("drop of a pending future", None)
        await asyncio.sleep(0)
        await cancel(task)
        await others_go_on()

    loop.run_until_complete(main())
    assert unraisable == ["a Rust future panicked: in a destructor"]


def test_panic_while_an_exception_is_raised_is_the_error(loop, capfd):
    async def failing():
        await asyncio.sleep(0)
        raise KeyError

    async def main():
        with pytest.raises(RuntimeError, match="a Rust future panicked: in a destructor"):
            await rust_extension.panicking_in("drop while an exception is raised", failing())
        await others_go_on()

    loop.run_until_complete(main())


@pytest.mark.parametrize("place", ["waker of a sleep", "callback", "drop of a callback"])
def test_panic_in_a_callback_goes_to_the_exception_handler(loop, place, capfd, contexts):
    async def main():
        task = rust_extension.panicking_in(place, None)
        while not contexts:
            await asyncio.sleep(0.001)
        await cancel(task)
        await others_go_on()

    loop.run_until_complete(main())
    (text,) = contexts
    assert text.startswith("a Rust future panicked: in a ")


def test_panic_of_a_futures_waker_is_the_callbacks_error(loop, capfd, contexts):
    async def main():
        future = loop.create_future()
        task = rust_extension.panicking_in("waker of an await", future)
        await asyncio.sleep(0)
        future.set_result(None)
        while not contexts:
            await asyncio.sleep(0.001)
        await cancel(task)
        await others_go_on()

    loop.run_until_complete(main())
    assert contexts == ["a Rust future panicked: in a waker"]


def test_panic_of_a_wakers_destructor_ends_nothing(loop, capfd, contexts, unraisable):
    async def main():
        future = loop.create_future()
        task = rust_extension.panicking_in("drop of a waker", future)
        await asyncio.sleep(0)
        await cancel(task)
        await others_go_on()

    loop.run_until_complete(main())
    gc.collect()
    loop.run_until_complete(others_go_on())
    reported = [*contexts, *unraisable]
    assert len(reported) == 1
    assert "in a destructor" in reported[0]


def test_panic_at_the_loops_end_leaves_the_others_their_order(new_event_loop, capfd, unraisable):
    events = []

    async def main():
        tasks = [
            rust_extension.idle("first", events.append),
            rust_extension.panicking_in("drop of a pending future", None),
        ]
        tasks.append(rust_extension.idle("last", events.append))
        await asyncio.sleep(0)
        return tasks

    loop = new_event_loop()
    tasks = loop.run_until_complete(main())
    loop.close()
    assert events == ["first", "last"]
    assert unraisable == ["a Rust future panicked: in a destructor"]
    for task in tasks:
        task._log_destroy_pending = False
