"""Locks, events, conditions, semaphores and barriers behave as asyncio's, in every state and on any loop."""

import asyncio
import gc
import inspect
import math
import sys
import tracemalloc
import warnings
import weakref
from typing import Any

import pytest

import ferrio
from tests.support.differential import assert_same_functions, outcome, outcome_of
from tests.support.loops import FACTORIES
from tests.support.primitive_programs import shown

NAMES = ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"]


def test_a_waiter_that_is_closed_or_thrown_into_leaves_the_line():
    async def scenario(module, trace):
        for primitive in (module.Lock(), module.Semaphore(1), module.Event(), module.Condition()):
            wait = getattr(primitive, "acquire", None) or primitive.wait
            if hasattr(primitive, "acquire"):
                await primitive.acquire()
            first, second = wait(), wait()
            trace.append((first.send(None) is not None, second.send(None) is not None, shown(primitive)))
            first.close()
            trace.append(outcome(second.throw, LookupError("thrown")))
            trace.append(shown(primitive))

    assert_same_functions(scenario)


def test_arguments_and_misuse_are_refused_as_by_asyncio():
    async def scenario(module, trace):
        for name, arguments in [
            ("Lock", (1,)),
            ("Event", (1,)),
            ("Semaphore", (-1,)),
            ("Semaphore", ("1",)),
            ("BoundedSemaphore", (-1,)),
            ("Barrier", (0,)),
            ("Barrier", ("1",)),
        ]:
            kind, *rest = outcome(lambda name=name, arguments=arguments: bool(getattr(module, name)(*arguments)))
            trace.append((kind, rest[0], rest[-1] if rest[0] == "ValueError" else ""))
        trace.append(outcome(module.Lock().release))
        trace.append(outcome(module.Condition().notify))
        trace.append(await outcome_of(module.Condition().wait()))
        semaphore = module.BoundedSemaphore(1)
        trace.append(outcome(semaphore.release))
        trace.append(outcome(module.Condition, object())[1])

    assert_same_functions(scenario)


@pytest.mark.parametrize("module", [asyncio, ferrio])
def test_a_primitive_belongs_to_the_loop_where_somebody_first_waited(module, new_event_loop):
    lock = module.Lock()

    async def contend():
        async with lock:
            task = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
        await task
        lock.release()
        return lock._loop is asyncio.get_running_loop()

    first, second = new_event_loop(), new_event_loop()
    assert first.run_until_complete(contend())
    with pytest.raises(RuntimeError, match=r"<.*Lock object at .*> is bound to a different event loop"):
        second.run_until_complete(contend())


def test_a_subclass_is_asked_for_what_it_overrides():
    async def scenario(module: Any, trace):
        class Lock(module.Lock):
            async def acquire(self):
                trace.append("acquire")
                return await super().acquire()

            def release(self):
                trace.append("release")
                super().release()

        class Semaphore(module.BoundedSemaphore):
            def __init__(self, name, value):
                super().__init__(value)
                self.name = name

            async def acquire(self):
                trace.append(self.name)
                return await super().acquire()

        class Condition(module.Condition):
            async def wait(self):
                trace.append("wait")
                return await super().wait()

            def notify(self, n=1):
                trace.append(("notify", n))
                super().notify(n)

        class Barrier(module.Barrier):
            async def wait(self):
                trace.append("barrier")
                return await super().wait()

        lock = Lock()
        async with lock:
            trace.append(shown(lock).replace("test_a_subclass", ""))
        async with Semaphore("named", 2) as nothing:
            trace.append(nothing)
        condition = Condition(lock)
        state = []

        async def waits():
            async with condition:
                return await condition.wait_for(lambda: state)

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        async with condition:
            state.append(1)
            condition.notify_all()
        trace.append(await task)
        async with Barrier(1) as position:
            trace.append(position)

    assert_same_functions(scenario)


def test_a_condition_works_with_anybodys_lock():
    async def scenario(module, trace):
        class Foreign:
            def __init__(self):
                self.lock = asyncio.Lock()

            def locked(self):
                return self.lock.locked()

            async def acquire(self):
                trace.append("acquire")
                return await self.lock.acquire()

            def release(self):
                trace.append("release")
                self.lock.release()

        for lock in (Foreign(), asyncio.Lock(), ferrio.Lock()):
            condition = module.Condition(lock)
            trace.append((condition._lock is lock, condition.locked(), condition.acquire == lock.acquire))

            async def waits(condition=condition):
                async with condition:
                    return await condition.wait()

            task = asyncio.create_task(waits())
            await asyncio.sleep(0)
            async with condition:
                condition.notify()
            trace.append(await task)
            cancelled = asyncio.create_task(waits())
            await asyncio.sleep(0)
            cancelled.cancel()
            trace.append(await outcome_of(cancelled))

    assert_same_functions(scenario)


def test_private_attributes_are_the_state_itself():
    async def scenario(module, trace):
        lock, event, semaphore = module.Lock(), module.Event(), module.Semaphore(3)
        trace.append((lock._waiters, semaphore._waiters, list(event._waiters), lock._locked, event._value))
        semaphore._value = 0
        waiting = asyncio.create_task(semaphore.acquire())
        await asyncio.sleep(0)
        trace.append((semaphore.locked(), len(semaphore._waiters), semaphore._waiters[0].done(), bool(lock._waiters)))
        future = asyncio.get_running_loop().create_future()
        semaphore._waiters.appendleft(future)
        semaphore.release()
        trace.append((future.done(), future in semaphore._waiters, len(semaphore._waiters)))
        semaphore._waiters.remove(future)
        trace.append(outcome(semaphore._waiters.remove, future)[:2])
        semaphore.release()
        trace.append(await waiting)
        lock._waiters = None
        lock._locked = True
        trace.append((lock.locked(), outcome(lock._waiters.__len__) if lock._waiters else None))
        barrier = module.Barrier(2)
        trace.append((barrier._state.name, barrier._count, type(barrier._cond).__name__))

    assert_same_functions(scenario)


def test_a_barriers_private_steps_are_not_called():
    """docs/differences.md: what asyncio does in methods of its own is one step here."""

    class Hooked(ferrio.Barrier):
        async def _block(self):
            raise LookupError

        _wait = _release = _exit = _block

    async def scenario():
        barrier = Hooked(2)
        assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]
        with pytest.raises(AttributeError):
            barrier._count = 1
        with pytest.raises(AttributeError):
            barrier._state = None
        assert not hasattr(ferrio.Barrier, "_block")

    asyncio.run(scenario())


@pytest.mark.parametrize("by_class", [True, False])
def test_waiting_asks_the_loop_for_a_future(by_class, new_event_loop):
    made = []

    def create_future():
        made.append(asyncio.Future(loop=loop))
        return made[-1]

    loop = new_event_loop()
    if by_class:
        loop.close()
        loop = type("Own", (type(loop),), {"create_future": lambda self: create_future()})()
    else:
        loop.create_future = create_future

    async def scenario():
        for waiting in (ferrio.Lock(), ferrio.Semaphore(0), ferrio.Queue(), ferrio.Event(), ferrio.Condition()):
            made.clear()
            if isinstance(waiting, ferrio.Lock):
                await waiting.acquire()
            if isinstance(waiting, ferrio.Condition):
                await waiting.acquire()
            wait = next(getattr(waiting, name) for name in ("get", "wait", "acquire") if hasattr(waiting, name))
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            assert len(made) == 1, waiting
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()


def test_a_semaphore_may_be_infinite():
    async def scenario(module, trace):
        semaphore = module.Semaphore(math.inf)
        for _ in range(100):
            await semaphore.acquire()
        semaphore.release()
        trace.append((semaphore.locked(), semaphore._value, shown(semaphore)))

    assert_same_functions(scenario)


def test_any_number_of_waiters_may_be_notified():
    async def scenario(module, trace):
        condition = module.Condition()
        for number in (math.inf, 1 << 80, 2.0, -1, -1 << 80):
            tasks = [asyncio.create_task(waiting(condition, trace)) for _ in range(4)]
            await asyncio.sleep(0)
            async with condition:
                condition.notify(number)
            done, rest = await asyncio.wait(tasks, timeout=0.05)
            trace.append((number, len(done)))
            async with condition:
                condition.notify_all()
            await asyncio.gather(*rest)

    async def waiting(condition, trace):
        async with condition:
            trace.append(await condition.wait())

    assert_same_functions(scenario)


@pytest.mark.parametrize("name", NAMES)
def test_classes_look_like_asyncios(name):
    ours, theirs = getattr(ferrio, name), getattr(asyncio, name)
    public = {attribute for attribute in dir(theirs) if not attribute.startswith("_")}
    made = theirs(2) if name == "Barrier" else theirs()
    public |= {attribute for attribute in vars(made) if not attribute.startswith("_")}
    assert {attribute for attribute in dir(ours) if not attribute.startswith("_")} == public
    assert ours.__name__ == name
    assert set(inspect.signature(ours).parameters) == set(inspect.signature(theirs).parameters)
    for attribute in public:
        stock, own = inspect.getattr_static(theirs, attribute, None), inspect.getattr_static(ours, attribute)
        if inspect.isfunction(stock):
            assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(stock), attribute
            assert list(inspect.signature(own).parameters) == list(inspect.signature(stock).parameters), attribute


@pytest.mark.parametrize("name", NAMES)
def test_instances_take_attributes_and_weak_references(name):
    made = getattr(ferrio, name)(*[2] * (name == "Barrier"))
    made.label = "mine"
    assert made.label == "mine"
    reference = weakref.ref(made)
    made.itself = made
    del made
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ferrio.Lock().acquire(), "Lock.acquire"),
        (lambda: ferrio.Semaphore().acquire(), "Semaphore.acquire"),
        (lambda: ferrio.Event().wait(), "Event.wait"),
        (lambda: ferrio.Condition().wait(), "Condition.wait"),
        (lambda: ferrio.Barrier(1).wait(), "Barrier.wait"),
    ],
)
def test_what_is_never_awaited_is_warned_about_and_did_nothing(make, name):
    with pytest.warns(RuntimeWarning, match=f"coroutine '{name}' was never awaited"):
        make()


def test_acquire_is_lazy_and_a_coroutine():
    lock = ferrio.Lock()
    acquiring = lock.acquire()
    assert asyncio.iscoroutine(acquiring)
    assert not lock.locked()
    with pytest.raises(StopIteration) as returned:
        acquiring.send(None)
    assert returned.value.value is True
    assert lock.locked()


@pytest.mark.parametrize("kind", FACTORIES)
def test_waiting_and_cancelling_leave_nothing_behind(kind):
    async def rounds(count):
        lock, semaphore, event, condition = ferrio.Lock(), ferrio.Semaphore(1), ferrio.Event(), ferrio.Condition()
        for number in range(count):
            async with lock, semaphore:
                waiting = [asyncio.create_task(wait()) for wait in (lock.acquire, semaphore.acquire, event.wait)]
                await asyncio.sleep(0)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
            async with condition:
                condition.notify_all()
            if number % 2:
                event.set()
            await event.wait() if number % 2 else None
            event.clear()
        assert not lock._waiters
        assert not semaphore._waiters
        assert not event._waiters

    loop = FACTORIES[kind]()
    try:
        loop.run_until_complete(rounds(500))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        loop.run_until_complete(rounds(1000))
        gc.collect()
        after = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
    finally:
        tracemalloc.stop()
        loop.close()
    assert after[0] - before[0] < 50_000
    assert after[1] - before[1] < 100


def test_references_are_counted_right():
    async def uncontended(count):
        lock, value = ferrio.Lock(), object()
        event = ferrio.Event()
        event.set()
        before = [sys.getrefcount(each) for each in (lock, event, value, None, True)]
        for _ in range(count):
            async with lock:
                pass
            await event.wait()
        after = [sys.getrefcount(each) for each in (lock, event, value, None, True)]
        return [late - early for early, late in zip(before, after, strict=True)]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        differences = ferrio.run(uncontended(100_000))
    assert all(abs(difference) < 100 for difference in differences), differences
