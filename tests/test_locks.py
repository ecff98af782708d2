"""Locks, events, conditions, semaphores and barriers do what asyncio's do, at any moment and on any loop."""

import asyncio
import gc
import inspect
import math
import sys
import tracemalloc
import warnings
import weakref

import pytest
from hypothesis import given, settings, strategies

import ferrio
from tests.conftest import FACTORIES
from tests.differential import assert_same_functions, outcome, outcome_of
from tests.primitives import Program, shown, step, steps

NAMES = ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"]
PROGRAMS = settings(max_examples=150, deadline=None)


def assert_same_program(program, steps) -> None:
    assert_same_functions(lambda module, trace: program(module, trace).run(steps))


class LockProgram(Program):
    """Tasks that hold a lock for some turns, and a driver that releases it out of turn."""

    name = "Lock"
    arguments = ()

    def __init__(self, module, trace):
        super().__init__(module, trace)
        self.primitive = getattr(module, self.name)(*self.arguments)

    def do_hold(self, turns):
        async def work(number):
            await self.primitive.acquire()
            self.trace.append((number, "holds"))
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                self.primitive.release()

        self.start(work)

    def do_with(self, turns):
        async def work(number):
            async with self.primitive as value:
                self.trace.append((number, "is inside", value))
                for _ in range(turns):
                    await asyncio.sleep(0)

        self.start(work)

    def do_release(self):
        self.call(self.primitive.release)

    def show(self):
        waiters = [(waiter.done(), waiter.cancelled()) for waiter in self.primitive._waiters or ()]
        return shown(self.primitive), self.primitive.locked(), waiters


class SemaphoreProgram(LockProgram):
    name = "Semaphore"
    arguments = (2,)

    def show(self):
        return super().show(), self.primitive._value


class BoundedSemaphoreProgram(SemaphoreProgram):
    name = "BoundedSemaphore"


TURNS = strategies.integers(0, 3)
LOCK_STEPS = steps(step("hold", TURNS), step("hold", TURNS), step("with", TURNS), step("release"))


@PROGRAMS
@given(LOCK_STEPS)
def test_random_lock_programs_show_the_same(steps):
    assert_same_program(LockProgram, steps)


@PROGRAMS
@given(LOCK_STEPS, strategies.sampled_from([SemaphoreProgram, BoundedSemaphoreProgram]))
def test_random_semaphore_programs_show_the_same(steps, program):
    assert_same_program(program, steps)


class EventProgram(Program):
    def __init__(self, module, trace):
        super().__init__(module, trace)
        self.event = module.Event()

    def do_wait(self):
        self.start(lambda _: self.event.wait())

    def do_set(self):
        self.call(self.event.set)

    def do_clear(self):
        self.call(self.event.clear)

    def show(self):
        return shown(self.event), self.event.is_set(), len(self.event._waiters)


@PROGRAMS
@given(steps(step("wait"), step("wait"), step("set"), step("clear")))
def test_random_event_programs_show_the_same(steps):
    assert_same_program(EventProgram, steps)


class ConditionProgram(Program):
    def __init__(self, module, trace):
        super().__init__(module, trace)
        self.condition = module.Condition()
        self.value = 0

    def do_wait(self):
        async def work(number):
            async with self.condition:
                return await self.condition.wait()

        self.start(work)

    def do_wait_for(self, value):
        async def work(number):
            async with self.condition:
                return await self.condition.wait_for(lambda: self.value >= value)

        self.start(work)

    def do_notify(self, count):
        async def work(number):
            async with self.condition:
                self.value += 1
                self.condition.notify(count)

        self.start(work)

    def do_notify_all(self):
        async def work(number):
            async with self.condition:
                self.value += 1
                self.condition.notify_all()
                await asyncio.sleep(0)

        self.start(work)

    def do_notify_without(self):
        self.call(self.condition.notify)

    def show(self):
        return shown(self.condition), len(self.condition._waiters), shown(self.condition._lock)


@PROGRAMS
@given(
    steps(
        step("wait"),
        step("wait"),
        step("wait_for", strategies.integers(0, 3)),
        step("notify", strategies.integers(0, 2)),
        step("notify_all"),
        step("notify_without"),
    )
)
def test_random_condition_programs_show_the_same(steps):
    assert_same_program(ConditionProgram, steps)


class BarrierProgram(Program):
    def __init__(self, module, trace):
        super().__init__(module, trace)
        self.barrier = module.Barrier(3)

    def do_wait(self):
        self.start(lambda _: self.barrier.wait())

    def do_with(self):
        async def work(number):
            async with self.barrier as position:
                return position

        self.start(work)

    def do_reset(self):
        self.start(lambda _: self.barrier.reset())

    def do_abort(self):
        self.start(lambda _: self.barrier.abort())

    def show(self):
        barrier = self.barrier
        return shown(barrier), barrier.n_waiting, barrier.parties, barrier.broken, barrier._count, barrier._state.value


@PROGRAMS
@given(steps(step("wait"), step("wait"), step("with"), step("reset"), step("abort")))
def test_random_barrier_programs_show_the_same(steps):
    assert_same_program(BarrierProgram, steps)


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
    async def scenario(module, trace):
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


def test_a_semaphore_may_be_infinite():
    async def scenario(module, trace):
        semaphore = module.Semaphore(math.inf)
        for _ in range(100):
            await semaphore.acquire()
        semaphore.release()
        trace.append((semaphore.locked(), semaphore._value, shown(semaphore)))

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
