"""How long tasks ran and were ready, and who woke them, while inspection is on."""

import asyncio
import gc
import sys
import threading
import time
from typing import Any

import pytest

import ferrio
import ferrio.inspect
from ferrio.inspect import _recording


@pytest.fixture
def recording(tmp_path) -> Any:
    """Inspection is on."""
    ferrio.inspect.start(tmp_path / "socket", blocked=None)
    yield
    ferrio.inspect.stop()


def run(main: Any) -> Any:
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        return runner.run(main())


def times(name: str) -> ferrio.inspect.Times | None:
    return next(task["times"] for task in ferrio.inspect.tasks() if task["name"] == name)


def known(name: str) -> ferrio.inspect.Times:
    found = times(name)
    assert found is not None
    return found


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_each_step_of_a_task_counts_and_the_longest_is_known(recording):
    async def child():
        await asyncio.sleep(0)
        time.sleep(0.02)
        await asyncio.sleep(0)
        await asyncio.sleep(1000)

    async def main():
        task = asyncio.create_task(child(), name="child")
        for _ in range(6):
            await asyncio.sleep(0)
        found = known("child")
        await ended(task)
        return found

    found = run(main)
    assert (found["polls"], found["wakeups"]) == (3, 3)
    assert 0.02 <= found["longest"] <= found["total"]


def test_a_task_that_is_ready_while_another_one_runs_has_waited(recording):
    async def child():
        await asyncio.sleep(1000)

    async def blocks():
        time.sleep(0.02)

    async def main():
        blocking = asyncio.create_task(blocks())
        task = asyncio.create_task(child(), name="child")
        await asyncio.sleep(0.001)
        found = known("child")
        await ended(task, blocking)
        return found

    scheduled = run(main)["scheduled"]
    assert scheduled is not None
    assert scheduled >= 0.02


def test_who_woke_a_task_is_known(recording):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(3)]

        async def waits(future):
            await future
            await asyncio.sleep(1000)

        tasks = [asyncio.create_task(waits(future), name=f"{place}") for place, future in enumerate(futures)]

        async def wakes():
            futures[0].set_result(None)
            await asyncio.sleep(1000)

        waker = asyncio.create_task(wakes(), name="waker")
        loop.call_soon(futures[1].set_result, None)
        threading.Thread(target=loop.call_soon_threadsafe, args=(futures[2].set_result, None)).start()
        await asyncio.gather(*futures)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = [known(f"{place}")["woken_by"] for place in range(3)]
        address = next(task["id"] for task in ferrio.inspect.tasks() if task["name"] == "waker")
        await ended(*tasks, waker)
        return found, address

    (first, second, third), address = run(main)
    assert first == {"kind": "task", "task": address}
    assert second == third == {"kind": "callback", "task": None}


def test_a_task_that_was_there_before_recording_began_is_unknown(tmp_path):
    async def main():
        task = asyncio.create_task(asyncio.sleep(1000), name="early")
        await asyncio.sleep(0)
        ferrio.inspect.start(tmp_path / "socket", blocked=None)
        try:
            await asyncio.sleep(0)
            return times("early")
        finally:
            ferrio.inspect.stop()
            await ended(task)

    assert run(main) is None


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="from 3.15 on a task is initialized once")
def test_a_task_that_is_initialized_again_is_another_one(recording):
    async def child() -> None:
        await asyncio.sleep(1000)

    async def main() -> Any:
        task = ferrio.Task(child(), name="first")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        task.__init__(child(), name="second")  # type: ignore[misc]
        before = known("second")
        await asyncio.sleep(0)
        after = known("second")
        await ended(task)
        return before["polls"], before["wakeups"], after["polls"], after["wakeups"]

    assert run(main) == (0, 1, 1, 1)


def test_who_pushed_while_recording_began_is_not_guessed(tmp_path):
    async def child() -> None:
        await asyncio.sleep(1000)

    async def main() -> Any:
        ferrio.inspect.start(tmp_path / "socket", blocked=None)
        try:
            task = asyncio.create_task(child(), name="child")
            await asyncio.sleep(0)
            found = known("child")
            await ended(task)
            return found
        finally:
            ferrio.inspect.stop()

    found = run(main)
    assert (found["wakeups"], found["woken_by"]) == (1, None)


def test_times_of_a_task_do_not_pass_to_the_next_one_at_its_address(recording):
    async def child() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    async def main() -> set[int]:
        polls = set()
        for number in range(100):
            task = asyncio.create_task(child(), name=f"child {number}")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            polls.add(known(f"child {number}")["polls"])
            await task
            del task
        return polls

    assert run(main) == {2}


def test_recording_that_begins_anew_knows_nothing_of_before(tmp_path):
    async def child() -> None:
        await asyncio.sleep(1000)

    async def main() -> list[Any]:
        ferrio.inspect.start(tmp_path / "first", blocked=None)
        old = [asyncio.create_task(child(), name=f"old {number}") for number in range(3)]
        await asyncio.sleep(0)
        ferrio.inspect.stop()
        del old[1]
        ferrio.inspect.start(tmp_path / "second", blocked=None)
        new = [asyncio.create_task(child(), name=f"new {number}") for number in range(3)]
        await asyncio.sleep(0)
        found = [times("old 0"), times("old 2"), *(known(f"new {number}")["polls"] for number in range(3))]
        ferrio.inspect.stop()
        await ended(*old, *new)
        return found

    assert run(main) == [None, None, 1, 1, 1]


def test_no_step_is_lost_and_none_is_another_tasks_among_many(recording):
    """More than are noted together, of tasks of which some end in between, so that places are used again."""

    async def steps(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def stays(count: int, ended: "asyncio.Future[None]") -> None:
        await steps(count)
        await ended

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        kept = [asyncio.create_task(stays(count, ended), name=f"kept {count}") for count in range(150)]
        for _ in range(30):
            await asyncio.gather(*(steps(5) for _ in range(20)))
        for task in kept:
            while known(task.get_name())["polls"] < int(task.get_name().split()[1]) + 1:
                await asyncio.sleep(0)
        found = {task["name"]: task["times"] for task in ferrio.inspect.tasks()}
        addresses = {task["name"]: task["id"] for task in ferrio.inspect.tasks()}
        ended.set_result(None)
        await asyncio.gather(*kept)
        return found, addresses

    found, addresses = run(main)
    for count in range(150):
        name = f"kept {count}"
        times = found[name]
        assert (times["polls"], times["wakeups"]) == (count + 1, count + 1)
        if count:
            assert times["woken_by"] == {"kind": "task", "task": addresses[name]}


def test_a_count_is_right_at_each_moment(recording):
    """Steps are noted some time after they have ended, unless somebody asks."""

    async def child() -> None:
        while True:
            await asyncio.sleep(0)

    async def main() -> list[tuple[int, int]]:
        task = asyncio.create_task(child(), name="child")
        polls = []
        for number in range(300):
            await asyncio.sleep(0)
            if number % 7 == 0:
                polls.append((number, known("child")["polls"]))
        await ended(task)
        return polls

    assert [polls - number for number, polls in run(main)] == [1] * 43


def test_a_task_that_runs_the_loop_again_counts_once(recording):
    async def inner() -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    async def outer() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            loop.run_until_complete(inner())
            await asyncio.sleep(0)
        await loop.create_future()

    async def main() -> Any:
        ferrio.allow_nested_runs()
        try:
            task = asyncio.create_task(outer(), name="outer")
            before = time.monotonic()
            while (found := known("outer"))["polls"] < 4:
                await asyncio.sleep(0)
            took = time.monotonic() - before
            await ended(task)
            return found, took
        finally:
            ferrio.allow_nested_runs(False)

    found, took = run(main)
    assert (found["polls"], found["wakeups"]) == (4, 4)
    assert found["longest"] <= found["total"] <= took


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came in 3.12")
def test_an_eager_first_step_counts(recording):
    async def child():
        time.sleep(0.01)
        await asyncio.sleep(1000)

    async def main():
        loop = asyncio.get_running_loop()
        kind: Any = ferrio.Task
        task = kind(child(), loop=loop, name="child", eager_start=True)
        found = known("child")
        await ended(task)
        return found

    found = run(main)
    assert found["polls"] == 1
    assert found["longest"] >= 0.01


def test_a_task_of_ferrio_s_on_another_loop_has_times_but_no_waiting(recording):
    async def main():
        task = ferrio.Task(asyncio.sleep(1000), loop=asyncio.get_running_loop(), name="child")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = known("child")
        await ended(task)
        return found

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        found = runner.run(main())
    assert found["polls"] == 1
    assert found["scheduled"] is None


def test_a_nested_run_keeps_the_count_right(recording):
    async def inner():
        await asyncio.sleep(0)

    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asyncio.sleep(1000), name="child")
        ferrio.allow_nested_runs()
        try:
            loop.run_until_complete(inner())
        finally:
            ferrio.allow_nested_runs(False)
        found = known("child")
        await ended(task)
        return found

    found = run(main)
    assert (found["polls"], found["wakeups"]) == (1, 1)


def test_the_metrics_have_histograms_of_polls_and_of_waits(recording):
    async def main():
        for _ in range(10):
            await asyncio.sleep(0)
        return ferrio.inspect.metrics()

    found = run(main)
    for name in ("ferrio.task.poll", "ferrio.task.scheduled"):
        (point,) = found[name]["points"]
        value = point["value"]
        assert isinstance(value, dict)
        assert value["count"] >= 10
        assert value["counts"] == sorted(value["counts"])
        assert value["counts"][-1] <= value["count"]


def test_tasks_that_are_created_done_and_destroyed_are_counted(recording):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0)) for _ in range(5)))
        cancelled = asyncio.create_task(asyncio.sleep(1000))
        cancelled.cancel()
        await asyncio.wait([cancelled])
        lost = loop.create_task(_awaits(loop.create_future()))
        await asyncio.sleep(0)
        del lost
        gc.collect()
        return ferrio.inspect.metrics()

    before, found = ferrio.inspect.metrics(), run(main)
    names = ("ferrio.task.created", "ferrio.task.done", "ferrio.task.destroyed_pending")
    grown = [found[name]["points"][0]["value"] - before[name]["points"][0]["value"] for name in names]
    # With `main`, which is not done.
    assert grown == [8, 6, 1]


async def _awaits(future):
    await future


def test_callbacks_and_waits_of_jobs_are_timed(recording):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(5):
            loop.call_soon(int)
        await asyncio.sleep(0)
        await asyncio.to_thread(int)
        return ferrio.inspect.metrics()

    found = run(main)
    for name, least in (("ferrio.eventloop.callback", 5), ("ferrio.executor.wait", 1)):
        (point,) = found[name]["points"]
        value = point["value"]
        assert isinstance(value, dict)
        assert value["count"] >= least
        assert value["counts"][-1] <= value["count"]


def test_the_recorder_has_a_bounded_size():
    with pytest.raises(ValueError, match="at most"):
        _recording.begin(1 << 40)
