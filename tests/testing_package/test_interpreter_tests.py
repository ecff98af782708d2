"""The interpreter's own tests of asyncio hold in each schedule: those that are coroutines and use no I/O of the system.

Without stalls, because some of them measure time. They run in the order "contract", so that ties are varied too.
"""

import importlib
import inspect
import sys
import unittest

import pytest

from ferrio import testing

SCHEDULES = 20

MODULES = (
    "test_locks",
    "test_queues",
    "test_taskgroups",
    "test_timeouts",
    "test_waitfor",
    "test_staggered",
    "test_streams",
    "test_threads",
    "test_futures2",
)


def cases():
    for name in MODULES:
        try:
            module = importlib.import_module(f"test.test_asyncio.{name}")
        except ImportError:
            continue
        for _, case in inspect.getmembers(module, inspect.isclass):
            if case.__module__ != module.__name__ or not issubclass(case, unittest.IsolatedAsyncioTestCase):
                continue
            for method in unittest.defaultTestLoader.getTestCaseNames(case):
                if inspect.iscoroutinefunction(getattr(case, method)):
                    yield pytest.param(case, method, id=f"{name}-{case.__name__}-{method}")


async def run(case, method):
    """What `IsolatedAsyncioTestCase` does, in the loop that runs."""
    test = case(method)
    try:
        test.setUp()
        await test.asyncSetUp()
        try:
            await getattr(test, method)()
        finally:
            await test.asyncTearDown()
            test.tearDown()
            while test._cleanups:
                function, arguments, keywords = test._cleanups.pop()
                outcome = function(*arguments, **keywords)
                if inspect.isawaitable(outcome):
                    await outcome
    except unittest.SkipTest:
        pass


@pytest.mark.parametrize(("case", "method"), list(cases()))
def test_the_interpreters_test_passes_in_each_schedule(case, method):
    if sys.version_info >= (3, 15) and "refcycles" in method:
        pytest.skip("it looks for its own frame among those of the task's coroutine, which here is the exploration's")
    report = testing.explore(lambda: run(case, method), schedules=SCHEDULES, stall=0, progress=False)
    assert report.failure is None, str(report)
