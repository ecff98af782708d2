"""install(), uninstall(), run() and the policy: who gets a ferrio loop, and that uninstall() restores everything."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import unittest
from asyncio import Runner, Task as StockTask, new_event_loop, run
from collections.abc import Iterator
from typing import Any

import pytest

import ferrio
from ferrio import EventLoop

StockPolicy = asyncio.unix_events._UnixDefaultEventLoopPolicy
HAS_ALIAS = sys.version_info >= (3, 13)

pytestmark = pytest.mark.filterwarnings("ignore:.*(policy|child_watcher|ChildWatcher).*:DeprecationWarning")


@pytest.fixture(autouse=True)
def untouched_asyncio() -> Iterator[None]:
    policy_before, asyncio.events._event_loop_policy = asyncio.events._event_loop_policy, None
    before = replaceable()
    yield
    ferrio.uninstall()
    asyncio.events._event_loop_policy = None
    assert replaceable() == before
    asyncio.events._event_loop_policy = policy_before


def replaceable() -> tuple[object, ...]:
    """Everything that install() may replace."""
    aliases = [getattr(module, "EventLoop", None) for module in (asyncio, asyncio.unix_events)]
    return (StockPolicy.__dict__["_loop_factory"], asyncio.events._event_loop_policy, *aliases)


async def loop_type() -> type:
    return type(asyncio.get_running_loop())


def made_by(factory: Any) -> type:
    with contextlib.closing(factory()) as loop:
        return type(loop)


def default_loops() -> set[type]:
    """The loop that each public way to the default one gives."""
    with asyncio.Runner() as runner, Runner() as early:
        types = {runner.run(loop_type()), early.run(loop_type())}
    ways = [asyncio.new_event_loop, asyncio.events.new_event_loop, new_event_loop, StockPolicy().new_event_loop]
    if HAS_ALIAS:
        ways += [asyncio.EventLoop, asyncio.unix_events.EventLoop]
    return types | {asyncio.run(loop_type()), run(loop_type())} | {made_by(way) for way in ways}


def test_every_default_loop_is_ours_until_uninstall():
    stock = default_loops()
    assert EventLoop not in stock
    ferrio.install()
    assert default_loops() == {EventLoop}
    ferrio.uninstall()
    assert default_loops() == stock


def test_install_twice_is_undone_by_one_uninstall():
    before = replaceable()
    ferrio.install()
    ferrio.install()
    ferrio.uninstall()
    assert replaceable() == before


def test_uninstall_alone_does_nothing():
    before = replaceable()
    ferrio.uninstall()
    assert replaceable() == before


def test_install_makes_no_policy():
    ferrio.install()
    assert asyncio.events._event_loop_policy is None
    ferrio.uninstall()


def test_policy_that_exists_stays_with_its_loop():
    policy = asyncio.events._event_loop_policy = StockPolicy()
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        ferrio.install()
        assert asyncio.events._event_loop_policy is policy
        assert policy.get_event_loop() is loop
        assert made_by(asyncio.new_event_loop) is EventLoop
        ferrio.uninstall()
        assert policy.get_event_loop() is loop
    asyncio.set_event_loop(None)


class OtherLoop(asyncio.SelectorEventLoop):
    """A loop that is not ours."""


class ByFactory(StockPolicy):
    """A policy that names another loop."""

    _loop_factory = OtherLoop


class ByMethod(StockPolicy):
    """A policy that makes another loop."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return OtherLoop()


class OwnBookkeeping(StockPolicy):
    """A policy that leaves the choice of the loop to asyncio."""


@pytest.mark.parametrize("policy_class", [ByFactory, ByMethod])
def test_policy_of_others_is_replaced_and_restored(policy_class):
    policy = policy_class()
    asyncio.set_event_loop_policy(policy)
    ferrio.install()
    assert default_loops() == {EventLoop}
    ferrio.uninstall()
    assert asyncio.events._event_loop_policy is policy


def test_policy_set_after_install_is_respected():
    ferrio.install()
    policy = ByMethod()
    asyncio.set_event_loop_policy(policy)
    assert asyncio.run(loop_type()) is OtherLoop
    ferrio.uninstall()
    assert asyncio.events._event_loop_policy is policy


def test_policy_that_only_records_calls_stays():
    policy = OwnBookkeeping()
    asyncio.set_event_loop_policy(policy)
    ferrio.install()
    assert asyncio.events._event_loop_policy is policy
    assert asyncio.run(loop_type()) is EventLoop


def test_loop_that_a_program_names_is_respected():
    ferrio.install()
    with asyncio.Runner(loop_factory=OtherLoop) as runner:
        assert runner.run(loop_type()) is OtherLoop
    assert made_by(asyncio.SelectorEventLoop) is asyncio.SelectorEventLoop


def test_what_others_replaced_after_us_stays():
    ferrio.install()
    StockPolicy._loop_factory = OtherLoop
    ferrio.uninstall()
    try:
        assert StockPolicy._loop_factory is OtherLoop
    finally:
        StockPolicy._loop_factory = asyncio.SelectorEventLoop


def test_many_threads_install_and_uninstall():
    before = replaceable()
    start = threading.Barrier(8)

    def hammer() -> None:
        start.wait()
        for _ in range(200):
            ferrio.install()
            ferrio.uninstall()

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replaceable() == before


def test_unittest_runs_on_ours():
    seen = []

    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_loop(self) -> None:
            seen.append(await loop_type())

    ferrio.install()
    assert Case("test_loop").run().wasSuccessful()
    assert seen == [EventLoop]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 has no child watchers")
def test_child_watcher_survives():
    asyncio.set_event_loop_policy(StockPolicy())
    watcher = asyncio.get_child_watcher()
    ferrio.install()
    assert asyncio.get_child_watcher() is watcher
    assert asyncio.run(loop_type()) is EventLoop
    ferrio.uninstall()
    assert asyncio.get_child_watcher() is watcher


def test_policy_makes_our_loops():
    policy = ferrio.EventLoopPolicy()
    assert isinstance(policy, StockPolicy)
    asyncio.set_event_loop_policy(policy)
    assert asyncio.run(loop_type()) is EventLoop
    assert made_by(asyncio.new_event_loop) is EventLoop
    ferrio.install()
    assert asyncio.events._event_loop_policy is policy
    ferrio.uninstall()


def test_run_runs_on_ours_and_patches_nothing():
    before = replaceable()
    assert ferrio.run(loop_type()) is EventLoop
    assert replaceable() == before


def test_run_takes_debug_and_another_factory():
    async def debug_mode() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert ferrio.run(debug_mode(), debug=True) is True
    assert ferrio.run(debug_mode(), debug=False) is False
    assert ferrio.run(loop_type(), loop_factory=OtherLoop) is OtherLoop


def test_run_inside_a_loop_fails_as_asyncio_does():
    async def nested(runner: Any) -> None:
        coroutine = loop_type()
        try:
            runner(coroutine)
        finally:
            coroutine.close()

    texts = []
    for runner in (asyncio.run, ferrio.run):
        with pytest.raises(RuntimeError) as caught:
            ferrio.run(nested(runner))
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_run_refuses_what_asyncio_refuses():
    outcomes = []
    for runner in (asyncio.run, ferrio.run):
        with pytest.raises((TypeError, ValueError)) as caught:
            runner(loop_type)
        outcomes.append((type(caught.value), str(caught.value).partition(" at 0x")[0]))
    assert outcomes[0] == outcomes[1]


def test_import_and_install_warn_about_nothing():
    code = "import ferrio; ferrio.install(); ferrio.EventLoopPolicy; ferrio.uninstall(); from ferrio import *"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_futures_and_tasks_are_ours_in_all_of_asyncio_until_uninstall() -> None:
    places = [(asyncio, "Future"), (asyncio.futures, "Future"), (asyncio, "Task"), (asyncio.tasks, "Task")]
    stock = [getattr(module, name) for module, name in places]
    implementations = asyncio.futures._CFuture, asyncio.tasks._CTask
    ferrio.install()
    ferrio.install()
    assert [getattr(module, name) for module, name in places] == [getattr(ferrio, name) for _, name in places]
    assert implementations == (asyncio.futures._CFuture, asyncio.tasks._CTask)

    async def main() -> None:
        task = asyncio.current_task()
        assert type(task) is asyncio.Task
        assert isinstance(task, StockTask)  # of a library that took it before

    asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop) if HAS_ALIAS else asyncio.run(main())
    ferrio.uninstall()
    assert all(getattr(module, name) is theirs for (module, name), theirs in zip(places, stock, strict=True))
