"""What is recorded while inspection is on: creators of tasks and holders of locks."""

import asyncio
import functools
import gc
import linecache
import operator
from collections.abc import Coroutine
from typing import Any, ClassVar

import pytest

import ferrio
import ferrio.inspect
from ferrio import _ferrio
from ferrio.inspect import _text
from tests.support.memory import in_use
from tests.support.snapshots import primitive_of, seen, within


@pytest.fixture
def recording(tmp_path) -> Any:
    """Inspection is on."""
    ferrio.inspect.start(tmp_path / "socket")
    yield
    ferrio.inspect.stop()


@pytest.fixture
def own_loop() -> Any:
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()


def test_the_creator_of_a_task_and_the_line_are_recorded(recording, own_loop):
    async def child():
        await asyncio.sleep(1000)

    async def main():
        task = asyncio.get_running_loop().create_task(child(), name="child")  # this line
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.wait([task])

    _, tasks = seen(own_loop, main)
    created = tasks["child"]["created"]
    assert created is not None
    assert created["by"] == tasks["main"]["id"]
    assert created["file"] == __file__
    assert "# this line" in linecache.getline(__file__, created["line"])
    assert tasks["child"]["age"] is not None


def test_what_was_there_before_recording_is_unknown(own_loop, tmp_path):
    loop = own_loop

    async def main():
        ferrio.inspect.start(tmp_path / "socket")
        try:
            await loop.create_future()
        finally:
            ferrio.inspect.stop()

    _, tasks = seen(loop, main)
    assert tasks["main"]["created"] is None
    assert tasks["main"]["age"] is None


@pytest.mark.parametrize("name", ["Lock", "Semaphore"])
def test_a_holder_that_called_acquire_is_recorded(recording, own_loop, name):
    lock = getattr(_ferrio, name)()

    async def hold():
        await lock.acquire()
        await asyncio.sleep(1000)

    async def main():
        tasks = [
            asyncio.get_running_loop().create_task(each, name=f"{number}")
            for number, each in enumerate((hold(), hold()))
        ]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    snapshot, tasks = seen(own_loop, main)
    (holder,) = primitive_of(snapshot, tasks["1"])["holders"]
    assert (holder["task"], holder["how"]) == (tasks["0"]["id"], "recorded")
    assert holder["held"] is not None


def test_a_lock_that_was_passed_on_is_held_by_the_last(recording, own_loop):
    lock = _ferrio.Lock()

    async def hold(turns):
        await lock.acquire()
        for _ in range(turns):
            await asyncio.sleep(0)
        lock.release()

    async def main():
        tasks = [asyncio.get_running_loop().create_task(hold(turns), name=f"{turns}") for turns in (1, 1000)]
        waits = asyncio.get_running_loop().create_task(within(lock), name="waits")
        try:
            await asyncio.wait([*tasks, waits])
        finally:
            for task in (*tasks, waits):
                task.cancel()
            await asyncio.wait([*tasks, waits])

    snapshot, tasks = seen(own_loop, main, turns=10)
    assert [each["task"] for each in primitive_of(snapshot, tasks["waits"])["holders"]] == [tasks["1000"]["id"]]


def test_a_deadlock_by_acquire_is_found_while_recording(recording, own_loop):
    async def take(first, second):
        await first.acquire()
        await asyncio.sleep(0)
        await second.acquire()

    async def main():
        left, right = _ferrio.Lock(), _ferrio.Lock()
        tasks = [asyncio.get_running_loop().create_task(take(*each)) for each in ((left, right), (right, left))]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    snapshot, _ = seen(own_loop, main)
    (deadlock,) = snapshot["deadlocks"]
    assert {link["how"] for link in deadlock["links"]} == {"recorded"}


class Sly(Coroutine[Any, Any, None]):
    """A coroutine of the program's own class."""

    asked: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.inner = _sleeps_shortly()

    def send(self, value):
        return self.inner.send(value)

    def throw(self, *error):
        return self.inner.throw(*error)

    def close(self):
        self.inner.close()

    def __await__(self):
        return self

    @property
    def cr_await(self):
        self.asked.append("cr_await")

    @property
    def cr_frame(self):
        self.asked.append("cr_frame")

    def __getattr__(self, name):
        self.asked.append(name)
        raise AttributeError(name)


async def _sleeps_shortly():
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)


def test_a_coroutine_of_the_programs_own_class_is_not_asked(recording, own_loop):
    async def main():
        task = own_loop.create_task(Sly())
        await asyncio.sleep(0)
        Sly.asked.clear()
        while not task.done():
            ferrio.inspect.snapshot()
            ferrio.inspect.trace()
            await asyncio.sleep(0)

    own_loop.run_until_complete(main())
    assert Sly.asked == []


def test_polls_of_the_system_are_counted(recording, own_loop):
    async def main():
        before = _polls(own_loop)
        for _ in range(3):
            await asyncio.sleep(0.001)
        return before, _polls(own_loop)

    before, after = own_loop.run_until_complete(main())
    assert after >= before + 3


def _polls(loop):
    return next(each["polls"] for each in ferrio.inspect.snapshot()["loops"] if each["id"] == hex(id(loop)))


async def _sleeps(lock):
    await asyncio.sleep(1000)
    lock.release()


async def _sleeps_then_calls(release):
    await asyncio.sleep(1000)
    release()


class Holder:
    def __init__(self, lock):
        self.parts = {"lock": lock}

    async def sleeps(self):
        await asyncio.sleep(1000)
        self.parts["lock"].release()


_global_lock: list[Any] = []


async def _sleeps_and_knows():
    await asyncio.sleep(1000)
    _release()


def _release():
    _global_lock[0].release()


def _by_timer(lock):
    asyncio.get_running_loop().call_later(1000, lock.release)


def _by_global(lock):
    _global_lock[:] = [lock]
    return _sleeps_and_knows()


RELEASERS: dict[str, Any] = {
    "a variable": _sleeps,
    "a method": lambda lock: _sleeps_then_calls(lock.release),
    "a closure": lambda lock: _sleeps_then_calls(lambda: lock.release()),
    "a partial": lambda lock: _sleeps_then_calls(functools.partial(lock.release)),
    "an attribute": lambda lock: Holder(lock).sleeps(),
    "a global": _by_global,
    "a timer": _by_timer,
}


@pytest.mark.parametrize("how", RELEASERS)
@pytest.mark.parametrize("kind", ["Lock", "Condition"])
def test_a_lock_that_another_task_may_release_makes_no_certain_circle(recording, own_loop, how, kind):
    """Some programs use a lock as a signal: they take it twice, and another task releases it."""

    async def main():
        lock = getattr(_ferrio, kind)()
        releaser = RELEASERS[how](lock)
        task = None if releaser is None else asyncio.get_running_loop().create_task(releaser)
        await lock.acquire()
        try:
            await lock.acquire()
        finally:
            _global_lock.clear()
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    snapshot, tasks = seen(own_loop, main)
    assert tasks["main"]["waits_for"]["kind"] == "lock"  # type: ignore[index]
    assert snapshot["deadlocks"] == []
    assert "deadlock" not in "\n".join(_text.why(snapshot)).lower()


def test_a_task_that_is_stuck_itself_does_not_release_a_lock(recording, own_loop):
    async def main():
        lock = _ferrio.Lock()

        async def waits():
            await lock.acquire()
            lock.release()

        await lock.acquire()
        task = asyncio.get_running_loop().create_task(waits())
        another = asyncio.get_running_loop().create_task(_awaits(task, lock))
        await asyncio.sleep(0)
        try:
            await lock.acquire()
        finally:
            another.cancel()
            await asyncio.wait([another])

    snapshot, tasks = seen(own_loop, main)
    (deadlock,) = snapshot["deadlocks"]
    assert [link["task"] for link in deadlock["links"]] == [tasks["main"]["id"]]


async def _awaits(task, lock):
    await task
    lock.release()


def test_records_of_tasks_that_are_gone_are_dropped(recording, own_loop):
    loop = own_loop

    async def main():
        lock = _ferrio.Lock()
        for _ in range(50):
            await asyncio.gather(*(within(lock) for _ in range(200)))

    before = _memory(loop, main)
    assert _memory(loop, main) <= before + 200_000


def _memory(loop, main) -> int:
    loop.run_until_complete(main())
    gc.collect()
    return in_use()


class Creating:
    """Creates tasks in methods that the interpreter calls."""

    def __init__(self, ready):
        self.ready = ready

    def __enter__(self):
        self.ready("enter")()  # enter

    def __exit__(self, *error):
        self.ready("exit")()  # exit

    def __del__(self):
        self.ready("del")()  # del


def deep(ready, depth):
    if depth:
        deep(ready, depth - 1)
    else:
        ready("deep")()  # deep


def generating(ready):
    yield ready("generator")()  # generator


async def awaiting(ready):
    await asyncio.sleep(0)
    ready("coroutine")()  # coroutine


def test_the_place_is_right_whatever_creates_a_task_and_however_many_there_are(recording, own_loop):
    """After a few tasks it is read from the interpreter's own frames: that has to make no difference."""
    kinds = ["with", "enter", "exit", "del", "deep", "generator", "coroutine", "map", "key", "ensure_future"]
    rounds = range(5)

    async def never(event):
        await event.wait()

    async def main():
        loop = asyncio.get_running_loop()
        event = asyncio.Event()  # keeps the tasks
        tasks = set()
        for number in rounds:

            def ready(kind, number=number):
                """What creates a task when it is called, from C: so its caller is the innermost function."""
                return functools.partial(loop.create_task, never(event), name=f"{kind} {number}")

            with Creating(ready):
                ready("with")()  # with
            deep(ready, 5)
            next(generating(ready))
            await awaiting(ready)
            list(map(operator.call, [ready("map")]))  # map
            sorted([1], key=lambda _: ready("key")() and 0)  # key
            eval("ready('eval')()", {"ready": ready})
            loop.call_soon(ready("callback"))
            asyncio.ensure_future(never(event)).set_name(f"ensure_future {number}")  # ensure_future
            await asyncio.sleep(0)
            tasks |= asyncio.all_tasks() - {asyncio.current_task()}
        found = {task["name"]: task["created"] for task in ferrio.inspect.tasks()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return found

    found = own_loop.run_until_complete(main())
    for kind in [*kinds, "eval", "callback"]:
        places = [found[f"{kind} {number}"] for number in rounds]
        assert all(place == places[0] for place in places), places
        if kind in kinds:
            assert linecache.getline(__file__, places[0]["line"]).endswith(f"# {kind}\n"), (kind, places[0])
        assert (places[0]["by"] is None) == (kind == "callback")
