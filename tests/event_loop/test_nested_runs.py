"""A running loop can be run again if the program has allowed nested runs."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

import ferrio
from tests.support.loops import close


@pytest.fixture
def allowed():
    ferrio.allow_nested_runs()
    yield
    ferrio.allow_nested_runs(False)


@pytest.fixture
def loop():
    loop = ferrio.new_event_loop()
    yield loop
    close(loop)


async def told(value):
    await asyncio.sleep(0.001)
    assert asyncio.current_task() is not None
    return value


def test_without_leave_it_is_an_error(loop):
    async def main():
        inner = told(1)
        try:
            loop.run_until_complete(inner)
        except RuntimeError as error:
            return str(error)
        finally:
            inner.close()

    assert loop.run_until_complete(main()) == "This event loop is already running"


def test_a_refused_run_changes_nothing(loop):
    async def main():
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        assert loop.is_running()
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    assert loop.run_until_complete(main()) is loop


def test_the_inner_run_gives_its_result_and_the_outer_goes_on(loop, allowed):
    async def main():
        me = asyncio.current_task()
        beside = loop.create_task(told("beside"))
        inner = loop.run_until_complete(told("inner"))
        assert asyncio.current_task() is me
        assert asyncio.current_task(loop) is me
        await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            return inner, await beside

    assert loop.run_until_complete(main()) == ("inner", "beside")
    assert asyncio.current_task(loop) is None


def test_an_inner_run_has_another_in_it(loop, allowed):
    async def nested(depth):
        await asyncio.sleep(0)
        return 1 + (loop.run_until_complete(nested(depth - 1)) if depth else 0)

    assert loop.run_until_complete(nested(20)) == 21


def test_errors_come_out_of_the_inner_run(loop, allowed):
    async def main():
        for inner, kind in ((fails(), ZeroDivisionError), (cancelled(), asyncio.CancelledError)):
            with pytest.raises(kind):
                loop.run_until_complete(inner)
        with pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(loop.create_future(), 0.001))
        return asyncio.current_task() is not None

    async def fails():
        raise ZeroDivisionError

    async def cancelled():
        raise asyncio.CancelledError

    assert loop.run_until_complete(main())


def test_a_stop_ends_the_inner_run_and_then_the_outer(loop, allowed):
    seen = []

    async def main():
        loop.call_soon(loop.stop)
        try:
            loop.run_until_complete(loop.create_future())
        except RuntimeError as error:
            seen.append(str(error))
        await asyncio.sleep(60)

    with pytest.raises(RuntimeError):
        loop.run_until_complete(main())
    assert seen == ["Event loop stopped before Future completed."]


def test_run_forever_inside_ends_with_stop(loop, allowed):
    async def main():
        loop.call_soon(loop.stop)
        loop.run_forever()
        return await told("went on")

    assert loop.run_until_complete(main()) == "went on"


def test_the_outer_future_may_be_done_while_the_inner_run_lasts(loop, allowed):
    outer = loop.create_future()
    seen = []

    def callback():
        outer.set_result("outer")
        seen.append(loop.run_until_complete(told("inner")))

    loop.call_soon(callback)
    assert loop.run_until_complete(outer) == "outer"
    assert seen == ["inner"]


def test_another_loop_runs_inside(loop, allowed):
    async def main():
        me = asyncio.current_task()
        other = ferrio.new_event_loop()
        inner = other.run_until_complete(told("inner"))
        close(other)
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is me
        return inner, await told("outer")

    assert loop.run_until_complete(main()) == ("inner", "outer")


def test_run_inside_runs_on_the_running_loop(allowed):
    async def main():
        running = asyncio.get_running_loop()

        async def inner():
            return asyncio.get_running_loop() is running

        return ferrio.run(inner())

    assert ferrio.run(main())


def test_another_thread_gets_no_leave(loop, allowed):
    async def main():
        inner = told(1)
        try:
            await asyncio.to_thread(loop.run_until_complete, inner)
        except RuntimeError as error:
            return str(error)
        finally:
            inner.close()

    assert loop.run_until_complete(main()) == "This event loop is already running"


def test_a_task_of_asyncios_own_is_shown_again(loop, allowed):
    async def main():
        me = asyncio.current_task()
        return loop.run_until_complete(told("inner")), asyncio.current_task() is me, await told("outer")

    task = asyncio.tasks._PyTask(main(), loop=loop) if sys.version_info < (3, 14) else asyncio.Task(main(), loop=loop)
    assert loop.run_until_complete(task) == ("inner", True, "outer")


def test_in_whole_mode_asyncio_run_runs_inside():
    program = """
        import asyncio, ferrio
        ferrio.install()
        ferrio.allow_nested_runs()

        async def main():
            return asyncio.run(asyncio.sleep(0.001, "inner")), await asyncio.sleep(0.001, "outer")

        print(asyncio.run(main()))
        print(hasattr(asyncio.BaseEventLoop, "_nest_patched"))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("('inner', 'outer')\nFalse\n", "")
