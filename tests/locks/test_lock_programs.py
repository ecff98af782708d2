"""Random programs on one lock, event, condition, semaphore or barrier show the same on asyncio's and on ferrio's."""

import asyncio

from hypothesis import example, given, settings, strategies

from tests.support.differential import assert_same_functions
from tests.support.primitive_programs import Program, shown, step, steps

PROGRAMS = settings(max_examples=150, deadline=None)


def assert_same_program(program, steps) -> None:
    assert_same_functions(lambda module, trace: program(module, trace).run(steps))


class LockProgram(Program):
    """Tasks that hold a lock for some turns, and a driver that releases it out of turn."""

    name = "Lock"
    arguments: tuple[int, ...] = ()

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
# A waiter is cancelled in the turn in which two permits come back: before 3.13 it hands on nothing.
CANCELLED_BESIDE_FREE_PERMITS = [
    *(("hold", turns) for turns in (0, 1, 1, 0, 0, 0)),
    ("cancel", 16),
    ("turn",),
    ("hold", 0),
    ("cancel", 3),
    ("turn",),
]
LOCK_STEPS = steps(step("hold", TURNS), step("hold", TURNS), step("with", TURNS), step("release"))


@PROGRAMS
@given(LOCK_STEPS)
def test_random_lock_programs_show_the_same(steps):
    assert_same_program(LockProgram, steps)


@PROGRAMS
@example(CANCELLED_BESIDE_FREE_PERMITS, SemaphoreProgram)
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
