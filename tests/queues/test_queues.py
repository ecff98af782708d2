"""Queues behave as asyncio's, in every state and on any loop, and call the methods that subclasses override."""

import asyncio
import collections
import gc
import inspect
import sys
import weakref
from typing import Any

import pytest
from hypothesis import given, settings, strategies

import ferrio
from tests.support.differential import assert_same_functions, outcome, outcome_of
from tests.support.loops import FACTORIES
from tests.support.primitive_programs import Program, step, steps

NAMES = ["Queue", "PriorityQueue", "LifoQueue"]
HAS_SHUTDOWN = sys.version_info >= (3, 13)
PROGRAMS = settings(max_examples=150, deadline=None)


class QueueProgram(Program):
    name = "Queue"
    size = 2

    def __init__(self, module, trace):
        super().__init__(module, trace)
        self.queue = self.make(module)
        self.next_item = 0

    def make(self, module):
        return getattr(module, self.name)(self.size)

    def item(self):
        self.next_item += 1
        return self.next_item * 7 % 10

    def do_put(self):
        item = self.item()
        self.start(lambda _: self.queue.put(item))

    def do_get(self):
        self.start(lambda _: self.queue.get())

    def do_put_nowait(self):
        self.call(self.queue.put_nowait, self.item())

    def do_get_nowait(self):
        self.call(self.queue.get_nowait)

    def do_task_done(self):
        self.call(self.queue.task_done)

    def do_join(self):
        self.start(lambda _: self.queue.join())

    def do_shutdown(self, immediate):
        self.call(self.queue.shutdown, immediate)

    def show(self):
        queue = self.queue
        return (
            str(queue),
            queue.qsize(),
            queue.empty(),
            queue.full(),
            queue.maxsize,
            queue._unfinished_tasks,
            queue._finished.is_set(),
        )


class LookedIntoProgram(QueueProgram):
    """The same with `_queue` looked at before everything else."""

    def make(self, module: Any):
        queue = super().make(module)
        self.trace.append(type(queue._queue).__name__)
        return queue


class SubclassProgram(QueueProgram):
    """A subclass that keeps its items elsewhere."""

    def make(self, module: Any):
        class Ordered(module.Queue):
            def _init(self, maxsize):
                self.items = []

            def _get(self):
                return self.items.pop(0)

            def _put(self, item):
                self.items.insert(0, item)

            def qsize(self):
                return len(self.items)

            def empty(self):
                return not self.items

        return Ordered(self.size)


def program_of(name, size, base=QueueProgram):
    return type(name, (base,), {"name": name, "size": size})


def queue_programs():
    plain = [program_of(name, size) for name in NAMES for size in (0, 1, 3)]
    looked_into = [program_of(name, 2, LookedIntoProgram) for name in NAMES]
    return strategies.sampled_from([*plain, *looked_into, program_of("Queue", 2, SubclassProgram)])


QUEUE_STEPS = [
    step("put"),
    step("put"),
    step("get"),
    step("get"),
    step("put_nowait"),
    step("get_nowait"),
    step("task_done"),
    step("join"),
]


@PROGRAMS
@given(steps(*QUEUE_STEPS), queue_programs())
def test_random_queue_programs_show_the_same(steps, program):
    assert_same_functions(lambda module, trace: program(module, trace).run(steps))


@pytest.mark.skipif(not HAS_SHUTDOWN, reason="asyncio has it from 3.13 on")
@PROGRAMS
@given(steps(*QUEUE_STEPS, step("shutdown", strategies.booleans())), queue_programs())
def test_random_programs_that_shut_down_show_the_same(steps, program):
    assert_same_functions(lambda module, trace: program(module, trace).run(steps))


async def shut_down(queue):
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.shutdown()
    with pytest.raises(ferrio.QueueShutDown):
        await getter
    with pytest.raises(ferrio.QueueShutDown):
        queue.put_nowait(1)
    with pytest.raises(ferrio.QueueShutDown):
        await queue.get()


@pytest.mark.parametrize("name", NAMES)
def test_shutdown_is_there_on_every_python(name):
    ferrio.run(shut_down(getattr(ferrio, name)()))
    assert getattr(asyncio, "QueueShutDown", ferrio.QueueShutDown) is ferrio.QueueShutDown


def test_what_a_subclass_overrides_is_called():
    async def scenario(module: Any, trace):
        class Told(module.Queue):
            def __init__(self, label, maxsize):
                self.label = label
                super().__init__(maxsize=maxsize)

            def _init(self, maxsize):
                trace.append(("_init", self.label, maxsize))
                super()._init(maxsize)

            def _put(self, item):
                trace.append(("_put", item))
                super()._put(item)

            def _get(self):
                trace.append("_get")
                return super()._get()

            def full(self):
                trace.append("full")
                return super().full()

            def empty(self):
                trace.append("empty")
                return super().empty()

            def qsize(self):
                trace.append("qsize")
                return super().qsize()

            def put_nowait(self, item):
                trace.append(("put_nowait", item))
                return super().put_nowait(item)

            def get_nowait(self):
                trace.append("get_nowait")
                return super().get_nowait()

        queue = Told("label", 1)
        await queue.put(1)
        putting = asyncio.create_task(queue.put(2))
        await asyncio.sleep(0)
        trace.append(await queue.get())
        await putting
        trace.append(await queue.get())
        trace.append(await outcome_of(asyncio.wait_for(queue.get(), 0.001)))
        queue._queue.append(5)
        trace.append((queue.get_nowait(), queue.empty(), queue.full(), outcome(queue.get_nowait)))

        class Unique(module.PriorityQueue):
            def _put(self, item):
                if item not in self._queue:
                    super()._put(item)

        unique = Unique()
        for item in (3, 1, 3, 2, 1):
            unique.put_nowait(item)
        trace.append([unique.get_nowait() for _ in range(unique.qsize())])

    assert_same_functions(scenario)


def test_methods_set_on_an_instance_are_called():
    async def scenario(module, trace):
        queue = module.Queue()
        queue._put = lambda item: (trace.append(item), module.Queue._put(queue, item))
        await queue.put(1)
        queue.put_nowait(2)
        trace.append(await queue.get())

    assert_same_functions(scenario)


def test_a_subclass_can_wait_in_the_lines_itself():
    async def scenario(module: Any, trace):
        class Peeking(module.Queue):
            async def peek(self):
                while self.empty():
                    getter = self._get_loop().create_future()
                    self._getters.append(getter)
                    try:
                        await getter
                    except BaseException:
                        getter.cancel()
                        if getter in self._getters:
                            self._getters.remove(getter)
                        raise
                self._wakeup_next(self._getters)
                return self._queue[0]

        queue = Peeking()
        tasks = [asyncio.create_task(each) for each in (queue.peek(), queue.get(), queue.peek())]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0)
        trace.append((len(queue._getters), bool(queue._putters)))
        queue.put_nowait("item")
        trace.append(await asyncio.gather(*tasks, return_exceptions=True) and [await outcome_of(t) for t in tasks])
        waiters = collections.deque([asyncio.get_running_loop().create_future() for _ in range(2)])
        waiters[0].cancel()
        second = waiters[1]
        queue._wakeup_next(waiters)
        trace.append((len(waiters), second.done()))

    assert_same_functions(scenario)


def test_changing_the_items_changes_the_queue():
    async def scenario(module, trace):
        for name in NAMES:
            queue = getattr(module, name)()
            for item in (4, 2, 9):
                queue.put_nowait(item)
            trace.append((type(queue._queue).__name__, list(queue._queue), str(queue)))
            queue._queue.remove(2)
            queue.put_nowait(1)
            trace.append([queue.get_nowait() for _ in range(queue.qsize())])
            queue._queue = collections.deque("ab") if name == "Queue" else ["a", "b"]
            trace.append((queue.qsize(), queue.get_nowait(), str(queue)))
            queue._unfinished_tasks = 1
            queue.task_done()
            trace.append((queue._finished.is_set(), outcome(queue.task_done)))
            queue._maxsize = 1
            trace.append((queue.full(), outcome(queue.put_nowait, "c")))

    assert_same_functions(scenario)


def test_sizes_of_any_kind_mean_what_they_mean_to_asyncio():
    async def scenario(module, trace):
        for size in (0, -1, 1, True, 1.5, float("inf"), None, "2", 2**70):
            queue = module.Queue(size)
            trace.append((outcome(queue.put_nowait, 1), outcome(queue.put_nowait, 2), outcome(queue.full), repr(size)))
            trace.append((queue.maxsize, queue._maxsize, outcome(str, queue)))

    assert_same_functions(scenario)


def test_items_that_cannot_be_compared_are_refused_as_by_asyncio():
    async def scenario(module, trace):
        queue = module.PriorityQueue()
        queue.put_nowait((1, "a"))
        trace.append(outcome(queue.put_nowait, "text"))
        trace.append((queue.qsize(), queue._unfinished_tasks))

    assert_same_functions(scenario)


@pytest.mark.parametrize("module", [asyncio, ferrio])
def test_a_queue_belongs_to_the_loop_where_somebody_first_waited(module, new_event_loop):
    queue = module.Queue()

    async def hand_over():
        getting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait(1)
        return await getting

    first, second = new_event_loop(), new_event_loop()
    assert first.run_until_complete(hand_over()) == 1
    with pytest.raises(RuntimeError, match=r"<Queue at 0x.*> is bound to a different event loop"):
        second.run_until_complete(hand_over())


@pytest.mark.parametrize("name", NAMES)
def test_classes_look_like_asyncios(name):
    ours, theirs = getattr(ferrio, name), getattr(asyncio, name)
    public = {attribute for attribute in dir(theirs) if not attribute.startswith("_")}
    assert {attribute for attribute in dir(ours) if not attribute.startswith("_")} == public | {"shutdown"}
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
    assert ours.__name__ == name
    for attribute in public - {"maxsize"}:
        stock, own = getattr(theirs, attribute), getattr(ours, attribute)
        assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(stock), attribute
        assert list(inspect.signature(own).parameters) == list(inspect.signature(stock).parameters), attribute
    assert issubclass(ours, ferrio.Queue)
    assert ours[int].__origin__ is ours
    assert ours[int]().empty()


def test_get_is_a_lazy_coroutine_that_says_when_it_is_forgotten():
    queue = ferrio.Queue()
    queue.put_nowait(1)
    assert inspect.iscoroutinefunction(queue.get)
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Queue\.get' was never awaited"):
        assert asyncio.iscoroutine(queue.get())
    assert queue.qsize() == 1
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Queue\.put' was never awaited"):
        assert asyncio.iscoroutine(queue.put(2))
    assert queue.qsize() == 1


def test_a_queue_in_itself_is_collected():
    class Item:
        pass

    item = Item()
    reference = weakref.ref(item)
    for make in (ferrio.Queue, ferrio.LifoQueue, ferrio.PriorityQueue):
        queue = make()
        queue.put_nowait((item, queue))
        del queue
    del item
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("kind", FACTORIES)
def test_nothing_is_left_behind(kind):
    async def hand_over(count):
        queue, back = ferrio.Queue(1), ferrio.Queue()

        async def echo():
            while (item := await queue.get()) is not None:
                back.put_nowait(item)
                queue.task_done()

        task = asyncio.create_task(echo())
        for _ in range(count):
            await queue.put(object())
            await back.get()
            getting = asyncio.create_task(back.get())
            await asyncio.sleep(0)
            getting.cancel()
            await asyncio.sleep(0)
        await queue.join()
        await queue.put(None)
        await task
        assert not queue._getters
        assert not back._getters

    loop = FACTORIES[kind]()
    try:
        loop.run_until_complete(hand_over(1000))
        gc.collect()
        before = len(gc.get_objects())
        loop.run_until_complete(hand_over(3000))
        gc.collect()
        assert len(gc.get_objects()) - before < 100
    finally:
        loop.close()


def test_references_are_counted_right():
    async def through(count):
        queue, item = ferrio.Queue(), object()
        before = sys.getrefcount(queue), sys.getrefcount(item), sys.getrefcount(None)
        for _ in range(count):
            await queue.put(item)
            await queue.get()
            queue.task_done()
        after = sys.getrefcount(queue), sys.getrefcount(item), sys.getrefcount(None)
        return [late - early for early, late in zip(before, after, strict=True)]

    differences = ferrio.run(through(100_000))
    assert all(abs(difference) < 100 for difference in differences), differences
