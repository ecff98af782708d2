"""What a simulated program and its jobs see of the process: the calendar, and threads that wait for each other."""

import asyncio
import datetime
import functools
import queue
import threading

import pytest

from ferrio import testing


def test_the_calendar_shows_virtual_time():
    async def main():
        began = datetime.datetime.now()
        today = datetime.datetime.today()
        await asyncio.sleep(86400)
        assert datetime.datetime.now() - began == datetime.timedelta(days=1)
        assert datetime.datetime.today() - today == datetime.timedelta(days=1)
        assert datetime.date.today() == (began + datetime.timedelta(days=1)).date()
        return datetime.datetime.now(datetime.UTC)

    before = datetime.datetime.__dict__["now"]
    assert testing.run(main) == testing.run(main)
    assert datetime.datetime.__dict__["now"] is before
    assert datetime.datetime.now().year >= 2024
    assert datetime.datetime.now(datetime.UTC).tzinfo is datetime.UTC


def test_a_subclass_of_datetime_makes_its_own_objects():
    class Own(datetime.datetime):
        pass

    async def main():
        assert type(Own.now()) is Own
        assert type(Own.now(datetime.UTC)) is Own

    testing.run(main)


def test_a_job_that_waits_for_an_event_lets_the_loop_go_on():
    async def main():
        event = threading.Event()
        waiting = asyncio.create_task(asyncio.to_thread(event.wait))
        await asyncio.sleep(1)
        assert not waiting.done()
        event.set()
        assert await waiting is True

    testing.run(main)
    report = testing.explore(main, schedules=100)
    assert report.failure is None, str(report)


def test_a_job_waits_in_virtual_time():
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.to_thread(functools.partial(threading.Event().wait, 30)) is False
        assert loop.time() - began == 30

    testing.run(main)


def test_jobs_hand_items_to_each_other_through_a_queue():
    async def main():
        items = queue.Queue(1)

        def produce():
            for number in range(5):
                items.put(number)

        def consume():
            return [items.get() for _ in range(5)]

        consuming = asyncio.create_task(asyncio.to_thread(consume))
        producing = asyncio.create_task(asyncio.to_thread(produce))
        await producing
        assert await consuming == list(range(5))

    testing.run(main)
    report = testing.explore(main, schedules=100)
    assert report.failure is None, str(report)


def test_a_job_that_waits_in_vain_is_told_as_a_deadlock():
    async def main():
        await asyncio.to_thread(threading.Event().wait)

    with pytest.raises(testing.Deadlock, match="simulated-job"):
        testing.run(main)


def test_only_jobs_that_cannot_tell_run_in_the_loops_thread():
    async def main():
        loop_thread = threading.get_ident()
        assert await asyncio.to_thread(int) == 0
        assert await asyncio.to_thread(lambda: "constant") == "constant"
        assert await asyncio.to_thread(lambda: threading.get_ident()) != loop_thread
        assert await asyncio.to_thread(lambda: loop_thread and threading.get_ident()) != loop_thread
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)

    testing.run(main)
