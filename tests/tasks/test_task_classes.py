"""Tasks and futures of all classes: ferrio's, asyncio's in C and Python, and subclasses of a program's own."""

import asyncio
import gc
import itertools
import sys
import weakref

import pytest

import ferrio
from tests.support.coroutines import returning


@pytest.fixture(params=[ferrio.EventLoop, asyncio.SelectorEventLoop], ids=["ferrio", "stock"])
def any_loop(request):
    loop = request.param()
    yield loop
    loop.close()


def test_a_native_task_is_asyncios_to_everyone(any_loop):
    async def main():
        task = asyncio.current_task()
        assert type(task) is ferrio.Task
        assert isinstance(task, asyncio.Task)
        assert isinstance(task, asyncio.Future)
        assert asyncio.isfuture(task)
        inner = ferrio.Task(returning(1, 1), loop=any_loop)
        assert asyncio.all_tasks() == {task, inner}
        await inner
        assert asyncio.all_tasks() == {task}

    any_loop.run_until_complete(ferrio.Task(main(), loop=any_loop))
    assert asyncio.all_tasks(any_loop) == set()
    assert asyncio.current_task(any_loop) is None


class NamedTask(ferrio.Task):
    """A task of the program's own."""

    made = 0

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.__class__.made += 1

    def kind(self):
        return self.__class__.__name__


class NamedFuture(ferrio.Future):
    """A future of the program's own."""


def test_a_subclass_is_asyncios_to_isinstance(any_loop):
    async def main():
        NamedTask.made = 0
        task, future = NamedTask(returning(1), loop=any_loop), NamedFuture(loop=any_loop)
        for _ in range(2):
            assert isinstance(task, asyncio.Task)
            assert isinstance(task, asyncio.Future)
            assert isinstance(task, NamedTask)
            assert isinstance(future, asyncio.Future)
            assert not isinstance(future, asyncio.Task)
            assert not isinstance(future, NamedTask)
        assert type(task) is NamedTask
        claimed = task.__class__
        assert claimed == NamedTask
        assert claimed is task.__class__
        assert hash(claimed) == hash(NamedTask)
        assert (repr(claimed), claimed.__name__, claimed.__mro__) == (
            repr(NamedTask),
            "NamedTask",
            NamedTask.__mro__,
        )
        assert NamedTask.made == 1
        assert task.kind() == "NamedTask"
        assert repr(task).startswith("<NamedTask pending")
        other = claimed(returning(2), loop=any_loop)
        assert type(other) is NamedTask
        assert NamedTask.made == 2
        claimed.made = 5
        assert NamedTask.made == 5
        del claimed.made
        assert not hasattr(NamedTask, "made")
        NamedTask.made = 0
        assert isinstance(task, claimed)
        assert issubclass(NamedTask, claimed)
        assert issubclass(claimed, asyncio.Task)
        return await asyncio.gather(task, other)

    assert any_loop.run_until_complete(main()) == [1, 2]


def test_a_subclass_goes_with_its_stand_in():
    def make():
        class Short(ferrio.Future):
            pass

        loop = ferrio.new_event_loop()
        assert isinstance(Short(loop=loop), asyncio.Future)
        loop.close()
        return weakref.ref(Short)

    reference = make()
    gc.collect()
    assert reference() is None


def test_tasks_and_futures_of_all_classes_wait_for_each_other(any_loop):
    makes = [ferrio.Task, asyncio.Task, asyncio.tasks._PyTask]
    futures = [ferrio.Future, asyncio.Future, asyncio.futures._PyFuture]

    async def awaiting(awaitable):
        return await awaitable

    async def main():
        for make in makes:
            for other in makes:
                assert await make(awaiting(other(returning(3, 1), loop=any_loop)), loop=any_loop) == 3
            for future_make in futures:
                future = future_make(loop=any_loop)
                any_loop.call_soon(future.set_result, 4)
                assert await make(awaiting(future), loop=any_loop) == 4

    any_loop.run_until_complete(main())


def test_a_subclass_can_override_what_asyncio_calls(any_loop):
    calls = []

    class Traced(ferrio.Future):
        def add_done_callback(self, *arguments, **keywords):
            calls.append("add_done_callback")
            super().add_done_callback(*arguments, **keywords)

        def result(self):
            calls.append("result")
            return super().result()

    async def main():
        future = Traced(loop=any_loop)
        any_loop.call_soon(future.set_result, 1)
        assert await future == 1

    any_loop.run_until_complete(ferrio.Task(main(), loop=any_loop))
    assert calls == ["add_done_callback", "result"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("looking", [True, False])
def test_eager_tasks_of_all_classes_run_inside_each_other(any_loop, looking):
    makes = [ferrio.Task, asyncio.Task]
    if sys.version_info < (3, 14):  # from then on those in Python have a register of their own
        makes.append(asyncio.tasks._PyTask)
    seen = []

    def look(expected):
        if looking:
            seen.append((asyncio.current_task(), expected))

    async def nested(inner_makes):
        own = asyncio.current_task() if looking else None
        if inner_makes:
            make, *rest = inner_makes
            task = make(nested(rest), loop=any_loop, eager_start=True)
            look(own)
            seen.append((task in asyncio.all_tasks(), True))
            await asyncio.sleep(0)
            look(own)
            await task
        look(own)
        await asyncio.sleep(0)
        look(own)

    async def main():
        own = asyncio.current_task()
        for first, *others in itertools.product(makes, repeat=3):
            task = first(nested(others), loop=any_loop, eager_start=True)
            assert asyncio.current_task() is own
            await task
            assert asyncio.current_task() is own

    any_loop.run_until_complete(ferrio.Task(main(), loop=any_loop))
    assert asyncio.current_task(any_loop) is None
    assert [found is expected for found, expected in seen] == [True] * len(seen)
    assert not asyncio.all_tasks(any_loop)


def test_a_subclass_with_a_hash_of_its_own_shows_its_tasks():
    class Hashed(ferrio.EventLoop):
        def __hash__(self):
            return 1

    async def main():
        own = asyncio.current_task()
        shown = []
        asyncio.get_running_loop().call_soon(lambda: shown.append(asyncio.current_task()))
        await asyncio.sleep(0)
        inner = asyncio.create_task(returning(asyncio.current_task, 1))
        assert (await inner)() is own
        return own, shown

    loop = Hashed()
    own, shown = loop.run_until_complete(main())
    assert own is not None
    assert shown == [None]
    assert asyncio.current_task(loop) is None
    loop.close()
