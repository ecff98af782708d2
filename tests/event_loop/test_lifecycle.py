"""A loop runs, stops and closes as asyncio's does, and raises errors with the same text."""

import asyncio
import gc
import threading
import time
import weakref

import pytest


def test_run_until_complete_returns_the_result(loop):
    async def main():
        await asyncio.sleep(0)
        return "done"

    assert loop.run_until_complete(main()) == "done"


def test_run_until_complete_raises_what_the_coroutine_raised(loop):
    async def main():
        raise LookupError("lost")

    with pytest.raises(LookupError, match=r"^lost$"):
        loop.run_until_complete(main())


def test_run_until_complete_takes_a_future_and_any_awaitable(loop):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return 7

    future = loop.create_future()
    loop.call_soon(future.set_result, 5)
    assert loop.run_until_complete(future) == 5
    assert loop.run_until_complete(Awaitable()) == 7


def test_run_until_complete_refuses_what_is_not_awaitable(loop):
    with pytest.raises(TypeError, match=r"An asyncio.Future, a coroutine or an awaitable is required"):
        loop.run_until_complete(3)


def test_run_until_complete_refuses_a_future_of_another_loop(new_event_loop):
    one, other = new_event_loop(), new_event_loop()
    with pytest.raises(ValueError, match=r"^The future belongs to a different loop than the one"):
        one.run_until_complete(other.create_future())


def test_a_stop_before_the_future_is_done_is_an_error(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(future)
    future.cancel()


def test_the_running_loop_is_this_one_only_while_it_runs(loop):
    async def main():
        assert loop.is_running()
        return asyncio.get_running_loop()

    assert not loop.is_running()
    assert loop.run_until_complete(main()) is loop
    assert not loop.is_running()
    with pytest.raises(RuntimeError, match=r"no running event loop"):
        asyncio.get_running_loop()


def test_stop_lets_what_is_ready_run_and_keeps_the_rest(loop):
    trace = []

    def first():
        loop.stop()
        loop.call_soon(trace.append, "next turn")
        trace.append("first")

    loop.call_soon(first)
    loop.call_soon(trace.append, "second")
    loop.run_forever()
    assert trace == ["first", "second"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert trace == ["first", "second", "next turn"]


def test_stop_before_run_forever_means_one_turn(loop):
    trace = []
    loop.stop()
    loop.call_soon(trace.append, "ran")
    loop.run_forever()
    assert trace == ["ran"]


def test_a_running_loop_cannot_be_run_again(loop, loop_kind):
    async def main():
        if loop_kind == "ferrio":  # stock 3.13.0 forgets after this call that it runs
            with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
                loop.run_forever()
        coroutine = asyncio.sleep(0)
        try:
            with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
                loop.run_until_complete(coroutine)
        finally:
            coroutine.close()

    loop.run_until_complete(main())


def test_another_loop_cannot_run_in_the_same_thread(new_event_loop):
    outer, inner = new_event_loop(), new_event_loop()

    async def main():
        with pytest.raises(RuntimeError, match=r"^Cannot run the event loop while another loop is running$"):
            inner.run_forever()

    outer.run_until_complete(main())


def test_a_running_loop_cannot_be_closed(loop):
    async def main():
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()

    loop.run_until_complete(main())
    assert not loop.is_closed()


def test_close_can_be_repeated_and_ends_everything(loop):
    loop.close()
    loop.close()
    assert loop.is_closed()
    for call in (loop.run_forever, lambda: loop.call_soon(print), lambda: loop.call_later(1, print)):
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            call()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_soon_threadsafe(print)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_in_executor(None, print)


def test_close_drops_callbacks_that_never_ran(loop):
    class Payload:
        pass

    payload = Payload()
    alive = weakref.ref(payload)
    loop.call_soon(print, payload)
    loop.call_later(3600, print, payload)
    del payload
    loop.close()
    gc.collect()
    assert alive() is None


def test_a_loop_in_a_cycle_is_collected(loop_kind):
    from tests.support.loops import FACTORIES

    loop = FACTORIES[loop_kind]()
    marker = loop.create_future()
    loop.call_soon(loop.stop)
    loop.run_forever()
    alive = weakref.ref(marker)
    marker.loop_too = loop if hasattr(marker, "__dict__") else None
    loop.close()
    del loop, marker
    gc.collect()
    assert alive() is None


def test_an_unclosed_loop_warns(loop_kind):
    from tests.support.loops import FACTORIES

    loops = [FACTORIES[loop_kind]()]

    def drop():
        loops.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"unclosed event loop"):
        drop()


def test_time_is_the_monotonic_clock_in_full(loop):
    before, now, after = time.monotonic(), loop.time(), time.monotonic()
    assert before <= now <= after


def test_repr_tells_the_state(loop):
    assert "running=False closed=False debug=False" in repr(loop)
    loop.close()
    assert "running=False closed=True" in repr(loop)


def test_the_loop_is_an_asyncio_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)


def test_debug_is_a_switch(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert loop.slow_callback_duration == 0.1


def test_asyncgens_are_closed_by_shutdown(loop):
    trace = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            trace.append("closed")

    async def main():
        generator = numbers()
        await anext(generator)
        return generator

    generator = loop.run_until_complete(main())
    assert trace == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert trace == ["closed"]
    del generator


def test_an_abandoned_asyncgen_is_closed_by_the_loop(loop):
    trace = []

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            trace.append("closed")

    async def main():
        generator = numbers()
        await anext(generator)
        del generator
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert trace == ["closed"]


def test_asyncgen_hooks_are_put_back(loop):
    import sys

    before = sys.get_asyncgen_hooks()
    loop.run_until_complete(asyncio.sleep(0))
    assert sys.get_asyncgen_hooks() == before


def test_an_asyncgen_begun_after_shutdown_warns(loop):
    async def numbers():
        yield 1

    async def main():
        await loop.shutdown_asyncgens()
        with pytest.warns(ResourceWarning, match=r"was scheduled after loop.shutdown_asyncgens"):
            async for _ in numbers():
                pass

    loop.run_until_complete(main())


def test_a_loop_runs_in_any_thread_and_moves_between_runs(loop):
    seen = []

    async def main():
        seen.append(threading.current_thread())

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    thread.join()
    loop.run_until_complete(main())
    assert seen == [thread, threading.current_thread()]


def test_runner_and_run_accept_the_loop(loop_kind):
    from tests.support.loops import FACTORIES

    async def main():
        return type(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=FACTORIES[loop_kind]) as runner:
        assert runner.run(main()) is type(runner.get_loop())


def test_run_cancels_what_is_left(loop_kind):
    from tests.support.loops import FACTORIES

    trace = []

    async def left():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            trace.append("cancelled")
            raise

    async def main():
        task = asyncio.create_task(left())
        await asyncio.sleep(0)
        return task

    with asyncio.Runner(loop_factory=FACTORIES[loop_kind]) as runner:
        task = runner.run(main())
    assert task.cancelled()
    assert trace == ["cancelled"]
