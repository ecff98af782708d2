"""The model: what a snapshot says of tasks and primitives, on asyncio's own objects and on ferrio's alike."""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, get_type_hints

import pytest

import ferrio
import ferrio.inspect
from ferrio import _ferrio
from ferrio._install import _STOCK
from ferrio.inspect import Snapshot, Task, _collect, _text, schema
from tests.support.snapshots import primitive_of, seen, within

KINDS = ["stock", "ferrio"]


@pytest.fixture(params=KINDS)
def kind(request) -> Callable[[str], Any]:
    """asyncio's own classes and functions, or ferrio's."""
    return (lambda name: getattr(_ferrio, name)) if request.param == "ferrio" else (lambda name: _STOCK[name])


WAITS: dict[str, tuple[str, Callable[[Callable[[str], Any]], Coroutine[Any, Any, Any]]]] = {
    "event": ("event", lambda kind: kind("Event")().wait()),
    "queue get": ("queue get", lambda kind: kind("Queue")().get()),
    "queue put": ("queue put", lambda kind: _full(kind).put(2)),
    "semaphore": ("semaphore", lambda kind: kind("Semaphore")(0).acquire()),
    "async with semaphore": ("semaphore", lambda kind: within(kind("Semaphore")(0))),
    "condition": ("condition", lambda kind: _condition(kind)),
    "barrier": ("barrier", lambda kind: kind("Barrier")(2).wait()),
    "sleep": ("sleep", lambda kind: kind("sleep")(1000)),
    "gather": ("gather", lambda kind: _awaited(lambda: kind("gather")(_hangs()))),
    "shield": ("shield", lambda kind: _awaited(lambda: kind("shield")(_hangs()))),
    "as_completed": ("as_completed", lambda kind: _first_of(kind("as_completed")([_hangs()]))),
    "wait": ("wait", lambda kind: kind("wait")([asyncio.ensure_future(_hangs())])),
    "task": ("task", lambda kind: _awaited(lambda: asyncio.ensure_future(_hangs()))),
    "future": ("future", lambda kind: _hangs()),
}


def _full(kind):
    queue = kind("Queue")(1)
    queue.put_nowait(1)
    return queue


async def _condition(kind):
    condition = kind("Condition")()
    async with condition:
        await condition.wait()


async def _hangs():
    await asyncio.get_running_loop().create_future()


async def _first_of(futures):
    for each in futures:
        await each


async def _awaited(make):
    await make()


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_known_for_what_it_is(new_event_loop, kind, name):
    expected, make = WAITS[name]
    loop = new_event_loop()

    async def main():
        try:
            await make(kind)
        finally:
            for task in asyncio.all_tasks():
                if task.get_coro().__name__ == "_hangs":  # type: ignore[union-attr]
                    task.cancel()

    snapshot, tasks = seen(loop, main)
    wait = tasks["main"]["waits_for"]
    assert wait is not None
    assert wait["kind"] == expected
    if wait["primitive"] is not None:
        assert "main" in [task["name"] for task in snapshot["tasks"] if task["id"] in _waiters(snapshot, tasks["main"])]
    if wait["needs"] is not None:
        assert wait["tasks_total"] == len(wait["tasks"]) == 1
        (awaited,) = [task for task in snapshot["tasks"] if task["id"] == wait["tasks"][0]]
        assert awaited["coroutine"] == "_hangs"
        assert awaited["awaited_by"] == [tasks["main"]["id"]]


def _waiters(snapshot: Snapshot, task: Task) -> list[str]:
    found = primitive_of(snapshot, task)
    return [*found["waiters"], *found["putters"]] or [task["id"]]


def test_a_task_that_another_threads_loop_runs_is_followed(new_event_loop):
    other = new_event_loop()
    thread = threading.Thread(target=other.run_forever, name="other")
    thread.start()

    async def main():
        future = asyncio.run_coroutine_threadsafe(_hangs(), other)
        try:
            await asyncio.wrap_future(future)
        finally:
            future.cancel()

    async def outer():
        task = asyncio.create_task(main(), name="main")
        while True:
            await asyncio.sleep(0)
            snapshot = ferrio.inspect.snapshot()
            (found,) = [each for each in snapshot["tasks"] if each["name"] == "main"]
            if found["waits_for"] is not None and found["waits_for"]["kind"] == "task":
                break
        task.cancel()
        await asyncio.wait([task])
        return snapshot, found

    try:
        snapshot, found = new_event_loop().run_until_complete(outer())
    finally:
        # The cancelled one has to end before its loop does.
        asyncio.run_coroutine_threadsafe(_others_ended(), other).result()
        other.call_soon_threadsafe(other.stop)
        thread.join()
        asyncio.set_event_loop(None)
    (awaited,) = [each for each in snapshot["tasks"] if each["id"] in found["waits_for"]["tasks"]]
    assert (awaited["coroutine"], awaited["awaited_by"]) == ("_hangs", [found["id"]])
    assert awaited["loop"] != found["loop"]
    assert snapshot["deadlocks"] == []


async def _others_ended():
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


def test_a_lock_knows_its_holder_and_its_waiters_in_order(new_event_loop, kind):
    lock = kind("Lock")()

    async def hold():
        async with lock:
            await asyncio.sleep(1000)

    async def main():
        holder = asyncio.get_running_loop().create_task(hold(), name="holder")
        waiters = [asyncio.get_running_loop().create_task(within(lock), name=f"waiter {n}") for n in range(3)]
        try:
            await asyncio.wait([holder, *waiters])
        finally:
            for task in (holder, *waiters):
                task.cancel()
            await asyncio.wait([holder, *waiters])

    snapshot, tasks = seen(new_event_loop(), main)
    found = primitive_of(snapshot, tasks["waiter 0"])
    assert [each["task"] for each in found["holders"]] == [tasks["holder"]["id"]]
    assert found["waiters"] == [tasks[f"waiter {n}"]["id"] for n in range(3)]
    assert found["locked"] is True
    assert snapshot["deadlocks"] == []


def test_a_task_that_waits_for_a_condition_inside_it_does_not_hold_its_lock(new_event_loop, kind):
    condition = kind("Condition")()

    async def main():
        async with condition:
            await condition.wait()

    snapshot, _ = seen(new_event_loop(), main)
    assert [each["holders"] for each in snapshot["primitives"] if each["kind"] == "condition"] == [[]]


def test_a_lock_that_a_task_takes_twice_is_a_deadlock_of_one(new_event_loop, kind):
    lock = kind("Lock")()

    async def main():
        async with lock:
            async with lock:
                pass

    snapshot, tasks = seen(new_event_loop(), main)
    (deadlock,) = snapshot["deadlocks"]
    assert [link["task"] for link in deadlock["links"]] == [tasks["main"]["id"]]


def test_a_circle_that_a_timeout_ends_says_so(new_event_loop, kind):
    lock = kind("Lock")()

    async def main():
        async with lock:
            async with kind("timeout")(1000):
                async with lock:
                    pass

    snapshot, tasks = seen(new_event_loop(), main)
    (deadlock,) = snapshot["deadlocks"]
    assert deadlock["has_timeout"]
    assert tasks["main"]["timeout"] is not None
    assert "deadlock" not in "\n".join(_text.why(snapshot))


def test_a_snapshot_has_the_documented_form(new_event_loop, kind):
    snapshot, _ = seen(new_event_loop(), lambda: kind("Event")().wait())
    assert snapshot.keys() == get_type_hints(Snapshot).keys() - {"threads", "outside"}
    conforms(json.loads(json.dumps(snapshot)), schema())


def conforms(value: Any, form: dict[str, Any]) -> None:
    """Checks a value against what of JSON schema `schema()` uses."""
    types: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    if "anyOf" in form:
        matches = [each for each in form["anyOf"] if _is_of(value, each, types)]
        assert matches, (value, form)
        return conforms(value, matches[0])
    if "enum" in form:
        assert value in form["enum"]
    elif form["type"] == "object":
        assert form["required"] == sorted(value.keys() & form["required"])
        for name, each in value.items():
            conforms(each, form["properties"][name])
    elif form["type"] == "array":
        for each in value:
            conforms(each, form["items"])
    else:
        assert isinstance(value, types[form["type"]]), (value, form)


def _is_of(value: Any, form: dict[str, Any], types: dict[str, Any]) -> bool:
    if "enum" in form:
        return value in form["enum"]
    return isinstance(value, types.get(form["type"], dict if form["type"] == "object" else list))


def test_no_code_of_the_program_runs(new_event_loop):
    class Sly(asyncio.Event):
        def __getattribute__(self, name):
            ran.append(name)
            return super().__getattribute__(name)

        def __eq__(self, other):
            ran.append("==")
            return False

        __hash__ = asyncio.Event.__hash__

    async def main():
        event = Sly()
        waits = event.wait()
        ran.clear()
        await waits

    ran: list[str] = []
    loop = new_event_loop()

    async def outer():
        task = loop.create_task(main())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ran.clear()
        ferrio.inspect.snapshot()
        names = list(ran)
        task.cancel()
        await asyncio.wait([task])
        return names

    assert loop.run_until_complete(outer()) == []


class Text(str):
    """A text with methods of the program's."""

    __slots__ = ()
    asked: ClassVar[list[str]] = []

    def __str__(self):
        Text.asked.append("str")
        return "wrong"

    def __format__(self, form):
        Text.asked.append("format")
        return "wrong"

    def startswith(self, *_):
        Text.asked.append("startswith")
        return True

    def __len__(self):
        Text.asked.append("len")
        raise RuntimeError

    def __eq__(self, other):
        Text.asked.append("==")
        return True

    __hash__ = str.__hash__


def test_no_method_of_a_name_runs(new_event_loop, tmp_path):
    loop = new_event_loop()

    async def waits():
        await loop.create_future()

    class Named(threading.Thread):
        @property
        def name(self):
            Text.asked.append("name")
            return "wrong"

        @name.setter
        def name(self, name):
            pass

    async def main():
        coroutine: Any = waits()
        coroutine.__name__ = coroutine.__qualname__ = Text("named")
        task = loop.create_task(coroutine)
        ends = threading.Event()
        thread = Named(target=ends.wait)
        thread.start()
        await asyncio.sleep(0)
        Text.asked.clear()
        text = ferrio.inspect.why(task)
        ferrio.inspect.metrics()
        asked = list(Text.asked)
        ends.set()
        thread.join()
        task.cancel()
        await asyncio.wait([task])
        return text, asked

    text, asked = loop.run_until_complete(main())
    assert "(named)" in text
    assert asked == []


def test_long_names_are_cut(new_event_loop):
    loop = new_event_loop()

    async def main():
        task = loop.create_task(_hangs(), name="n" * (1 << 20))
        await asyncio.sleep(0)
        snapshot = ferrio.inspect.snapshot()
        task.cancel()
        await asyncio.wait([task])
        return snapshot

    snapshot = loop.run_until_complete(main())
    (name,) = [task["name"] for task in snapshot["tasks"] if task["name"].startswith("nnn")]
    assert name == "n" * 1000 + "…"


def test_a_snapshot_keeps_nothing_alive(new_event_loop):
    class Own(asyncio.Event):
        pass

    async def main():
        await Own().wait()

    seen(new_event_loop(), main)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each).__name__ == "Own"]


def test_a_correct_busy_program_is_never_told_deadlocked(new_event_loop, kind):
    """Locks taken in one order by many tasks, while another thread looks again and again."""
    loop = new_event_loop()
    found: list[Any] = []
    looks = 0
    ended = threading.Event()

    def look():
        nonlocal looks
        while not ended.is_set():
            found.extend(ferrio.inspect.snapshot()["deadlocks"])
            looks += 1

    async def work(locks, number):
        for turn in range(200):
            first, second = sorted(((number + turn) % len(locks), (number * 7 + turn) % len(locks)))
            async with locks[first]:
                await asyncio.sleep(0)
                if first != second:
                    async with locks[second]:
                        await asyncio.sleep(0)

    async def main():
        locks = [kind("Lock")() for _ in range(4)]
        while looks < 20:
            await asyncio.gather(*(work(locks, number) for number in range(8)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        loop.run_until_complete(main())
    finally:
        ended.set()
        thread.join()
    assert found == []


def test_tasks_may_come_and_go_meanwhile(new_event_loop, kind):
    """Each snapshot has each task at most once, and those that stay exactly once."""
    loop = new_event_loop()
    ended = threading.Event()
    snapshots: list[list[str]] = []

    def look():
        while not ended.is_set():
            snapshots.append([task["id"] for task in ferrio.inspect.tasks()])

    async def come_and_go(queue):
        for number in range(300):
            await asyncio.gather(queue.put(number), queue.get(), asyncio.sleep(0))

    async def main():
        queue = kind("Queue")()
        staying = [loop.create_task(kind("Event")().wait()) for _ in range(10)]
        names = {hex(id(task)) for task in staying}
        await asyncio.sleep(0)
        del snapshots[:]
        while len(snapshots) < 20:
            await asyncio.gather(*(come_and_go(queue) for _ in range(3)))
        some = list(snapshots)
        for task in staying:
            task.cancel()
        await asyncio.wait(staying)
        return names, some[1:]

    thread = threading.Thread(target=look)
    thread.start()
    try:
        names, some = loop.run_until_complete(main())
    finally:
        ended.set()
        thread.join()
    for each in some:
        assert len(each) == len(set(each))
        assert names <= set(each)


def test_why_explains_one_task(new_event_loop, kind):
    loop = new_event_loop()
    event = kind("Event")()

    async def main():
        task = loop.create_task(event.wait(), name="waits")
        await asyncio.sleep(0)
        text = ferrio.inspect.why(task)
        event.set()
        await task
        return text, ferrio.inspect.why(task)

    text, after = loop.run_until_complete(main())
    assert text.startswith("task 'waits' (Event.wait) waits at ")
    assert "which is not set" in text
    assert after == "the task is done"


def test_a_loop_of_ferrios_tells_how_busy_it_is():
    async def main():
        await asyncio.sleep(0.01)
        return ferrio.inspect.snapshot()["loops"]

    for new_event_loop in (ferrio.new_event_loop, asyncio.SelectorEventLoop):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            (loop,) = runner.run(main())
        if new_event_loop is ferrio.new_event_loop:
            assert 0 <= loop["utilisation"] <= 1
            assert loop["sleeps"] >= 1
            assert loop["descriptors"] >= 0
        else:
            assert loop["utilisation"] is loop["sleeps"] is loop["descriptors"] is None


def test_primitives_are_described_one_by_one(kind):
    """So that many do not hold the loop up: the collector lets other threads run in between."""

    async def main():
        locks = [kind("Lock")() for _ in range(120)]
        event = kind("Event")()

        async def holds(lock):
            async with lock:
                await event.wait()

        tasks = [asyncio.create_task(holds(lock)) for lock in locks]
        await asyncio.sleep(0)
        collection = _collect.Collection()
        assert len(list(collection.slices())) > 2
        at_once = collection.result()["primitives"]
        found = {each["id"]: each for each in dict(collection.long_lists())["primitives"]}
        whole = ferrio.inspect.snapshot()["primitives"]
        event.set()
        await asyncio.wait(tasks)
        return at_once, found, whole, [hex(id(each)) for each in locks], hex(id(event))

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        at_once, found, whole, locks, event = runner.run(main())
    assert at_once == []
    assert all(found[lock]["locked"] and len(found[lock]["holders"]) == 1 for lock in locks)
    assert len(found[event]["waiters"]) == 120
    assert [each["id"] for each in whole] == list(found)
