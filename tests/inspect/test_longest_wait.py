"""How long tasks have waited for a primitive: recorded while inspection is on, of ferrio's primitives."""

import asyncio
import time
from typing import Any

import pytest

import ferrio
import ferrio.inspect
from ferrio import _ferrio
from ferrio._install import _STOCK
from ferrio.inspect import _primitives, _text
from tests.support.snapshots import primitive_of, seen, within

pytestmark = pytest.mark.timeout(120)

WAITS: dict[str, Any] = {
    "lock": lambda kind: _taken(kind("Lock")()),
    "semaphore": lambda kind: within(kind("Semaphore")(0)),
    "bounded semaphore": lambda kind: within(kind("BoundedSemaphore")(0)),
    "event": lambda kind: kind("Event")().wait(),
    "condition": lambda kind: _waiting(kind("Condition")()),
    "condition's predicate": lambda kind: _waiting(kind("Condition")(), lambda: False),
    "condition's lock": lambda kind: _taken(kind("Condition")()),
    "barrier": lambda kind: kind("Barrier")(2).wait(),
    "queue get": lambda kind: kind("Queue")().get(),
    "priority queue get": lambda kind: kind("PriorityQueue")().get(),
    "queue put": lambda kind: _full(kind("LifoQueue")(1)).put(2),
    "queue join": lambda kind: _full(kind("Queue")(1)).join(),
}


async def _taken(lock):
    await lock.acquire()
    await lock.acquire()


async def _waiting(condition, *predicate):
    async with condition:
        await (condition.wait_for(*predicate) if predicate else condition.wait())


def _full(queue):
    queue.put_nowait(1)
    return queue


@pytest.fixture
def recording(tmp_path):
    ferrio.inspect.start(tmp_path / "socket", blocked=None)
    yield
    ferrio.inspect.stop()


@pytest.fixture
def loop():
    made = ferrio.new_event_loop()
    yield made
    made.close()


def ours(name):
    return getattr(_ferrio, name)


def longest(loop, make, pause=0.0):
    """The longest wait of the primitive for which a task waits, `pause` seconds after it has begun to."""

    async def main():
        task = loop.create_task(make(), name="main")
        for _ in range(5):
            await asyncio.sleep(0)
        before = time.monotonic()
        while time.monotonic() - before < pause:
            await asyncio.sleep(0)
        snapshot = ferrio.inspect.snapshot()
        task.cancel()
        await asyncio.wait([task])
        (found,) = [each for each in snapshot["tasks"] if each["name"] == "main"]
        return primitive_of(snapshot, found)["longest_wait"]

    return loop.run_until_complete(main())


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_that_lasts_counts(recording, loop, name):
    began = time.monotonic()
    wait = longest(loop, lambda: WAITS[name](ours), 0.01)
    assert 0.01 <= wait + 2e-6 <= time.monotonic() - began + 0.001


@pytest.mark.parametrize("name", WAITS)
def test_of_asyncios_own_it_is_not_known(recording, loop, name):
    assert longest(loop, lambda: WAITS[name](lambda each: _STOCK[each])) is None


def test_without_inspection_it_is_not_known(loop):
    assert longest(loop, _ferrio.Event().wait) is None


def test_of_a_wait_that_began_before_it_is_not_known(loop, tmp_path):
    event = _ferrio.Event()

    async def main():
        before = loop.create_task(event.wait())
        await asyncio.sleep(0)
        ferrio.inspect.start(tmp_path / "socket", blocked=None)
        try:
            after = loop.create_task(event.wait())
            await asyncio.sleep(0)
            both = _primitives.longest_wait(event)
            before.cancel()
            await asyncio.wait([before])
            one = _primitives.longest_wait(event)
            event.set()
            await after
            return both, one
        finally:
            ferrio.inspect.stop()

    both, one = loop.run_until_complete(main())
    assert both is None
    assert one is not None


ENDS: dict[str, Any] = {
    "lock": (_ferrio.Lock, lambda lock: lock.acquire(), lambda lock: lock.release()),
    "semaphore": (lambda: _ferrio.Semaphore(0), lambda one: one.acquire(), lambda one: one.release()),
    "event": (_ferrio.Event, lambda event: event.wait(), lambda event: event.set()),
    "queue": (_ferrio.Queue, lambda queue: queue.get(), lambda queue: queue.put_nowait(1)),
    "condition": (_ferrio.Condition, _waiting, None),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("how", ["ends", "is cancelled"])
def test_a_wait_that_has_ended_stays_known(recording, loop, name, how):
    make, wait, end = ENDS[name]

    async def main():
        primitive = make()
        if name == "lock":
            await primitive.acquire()
        assert _primitives.longest_wait(primitive) == 0.0
        task = loop.create_task(wait(primitive))
        await asyncio.sleep(0)
        before = time.monotonic()
        while time.monotonic() - before < 0.005:
            await asyncio.sleep(0)
        if how == "is cancelled":
            task.cancel()
        elif end is None:
            async with primitive:
                primitive.notify()
        else:
            end(primitive)
        await asyncio.wait([task])
        first = _primitives.longest_wait(primitive)
        # A shorter one changes nothing.
        other = loop.create_task(wait(primitive))
        await asyncio.sleep(0)
        other.cancel()
        await asyncio.wait([other])
        return first, _primitives.longest_wait(primitive)

    first, after = loop.run_until_complete(main())
    assert first >= 0.005 - 2e-6
    assert after >= first


USES: dict[Any, Any] = {
    _ferrio.Lock: _taken,
    _ferrio.Semaphore: _taken,
    _ferrio.Event: lambda event: event.wait(),
    _ferrio.Condition: _waiting,
    _ferrio.Queue: lambda queue: queue.get(),
}


@pytest.mark.parametrize("kind", USES)
def test_a_new_primitive_at_an_old_address_begins_anew(recording, loop, kind):
    async def main():
        for _ in range(100):
            primitive = kind()
            assert _primitives.longest_wait(primitive) == 0.0
            task = loop.create_task(USES[kind](primitive))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert (_primitives.longest_wait(primitive) or 0.0) > 0

    loop.run_until_complete(main())


def test_the_metrics_have_the_waits_by_kind(recording, loop):
    async def main():
        lock = _ferrio.Lock()
        queue: asyncio.Queue[int] = _ferrio.Queue()
        await lock.acquire()
        waits = [loop.create_task(lock.acquire()), loop.create_task(queue.get()), loop.create_task(queue.get())]
        await asyncio.sleep(0)
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)
        return ferrio.inspect.metrics()["ferrio.primitive.wait"]

    metric = loop.run_until_complete(main())
    counts = {point["attributes"]["ferrio.primitive.kind"]: point["value"]["count"] for point in metric["points"]}
    assert counts == {"lock": 1, "semaphore": 0, "condition": 0, "event": 0, "queue": 2}


def test_why_tells_it(recording, loop):
    lock = _ferrio.Lock()
    snapshot, _ = seen(loop, lambda: _taken(lock))
    assert "; longest wait 0." in "\n".join(_text.why(snapshot))
