"""What programs replace of the default executor, of its threads and of `to_thread` is called."""

import asyncio
import concurrent.futures
import functools
import sys
import threading
from typing import Any

import pytest

import ferrio
from tests.support.differential import assert_same
from tests.support.worker_threads import thread_name, to_thread


@pytest.fixture
def loop():
    own = ferrio.new_event_loop()
    yield own
    own.close()


@pytest.mark.parametrize("early", [True, False])
def test_a_replaced_submit_gets_every_call(early, monkeypatch):
    original = concurrent.futures.ThreadPoolExecutor.submit

    async def scenario(trace):
        def submit(self, function, /, *arguments, **keywords):
            trace.append((type(function).__name__, arguments, keywords))
            return original(self, function, *arguments, **keywords)

        if not early:
            await to_thread(int)
        monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", submit)
        trace.append(await to_thread(int, "1", base=2))
        trace.append(await asyncio.get_running_loop().run_in_executor(None, int, "3"))
        monkeypatch.undo()
        trace.append(await to_thread(int, "4"))

    assert_same(scenario)


def test_a_submit_of_the_executor_alone_gets_every_call():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        original = loop._default_executor.submit

        def submit(function, *arguments):
            trace.append(arguments)
            return original(function, *arguments)

        loop._default_executor.submit = submit
        trace.append(await loop.run_in_executor(None, int, "3"))

    assert_same(scenario)


def test_a_replaced_thread_start_starts_the_workers(monkeypatch):
    original = threading.Thread.start

    async def scenario(trace):
        def start(self):
            trace.append((self.name, self.daemon, type(self).__name__))
            run = self.run

            def wrapped():
                trace.append("runs")
                run()

            self.run = wrapped
            return original(self)

        monkeypatch.setattr(threading.Thread, "start", start)
        trace.append(await to_thread(thread_name))
        monkeypatch.undo()

    assert_same(scenario)


def test_a_replaced_executor_class_or_method_is_used(monkeypatch):
    stock: Any = concurrent.futures.ThreadPoolExecutor

    async def scenario(trace):
        class Executor(stock):
            def __init__(self, *arguments, **keywords):
                trace.append((arguments, keywords))
                super().__init__(*arguments, **keywords)

        monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Executor)
        trace.append(await to_thread(thread_name))
        monkeypatch.undo()
        trace.append(type(asyncio.get_running_loop()._default_executor).__name__)

    async def method(trace):
        original = stock._adjust_thread_count

        def adjust(self):
            trace.append("adjusts")
            original(self)

        monkeypatch.setattr(stock, "_adjust_thread_count", adjust)
        trace.append(await to_thread(thread_name))
        monkeypatch.undo()

    assert_same(scenario)
    assert_same(method)


def test_a_loop_with_its_own_run_in_executor_gets_the_call_of_to_thread(loop):
    seen = []
    original = loop.run_in_executor

    def run_in_executor(executor, function, *arguments):
        seen.append((executor, type(function), arguments))
        return original(executor, function, *arguments)

    async def main():
        return await to_thread(int, "5")

    loop.run_in_executor = run_in_executor
    assert loop.run_until_complete(main()) == 5
    assert seen == [(None, functools.partial, ())]


def test_profilers_and_tracers_of_threads_see_the_jobs():
    async def scenario(trace):
        def job():
            return len(sys._current_frames())

        events = []

        def profile(frame, event, _argument):
            if frame.f_code.co_name == "job":
                events.append(event)

        def watch(frame, event, _argument):
            if frame.f_code.co_name == "job":
                events.append(event)
            return watch

        threading.setprofile(profile)
        threading.settrace(watch)
        try:
            await to_thread(job)
        finally:
            threading.setprofile(None)
            threading.settrace(None)
        trace.append(events)
        trace.append([thread.name for thread in threading.enumerate() if thread.name.startswith("asyncio_")])

    assert_same(scenario)
