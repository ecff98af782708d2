"""ferrio's exceptions have the context that Python would give them; circles of futures do not overrun the stack."""

import asyncio

import pytest

import ferrio
from tests.support.differential import assert_same
from tests.support.loops import FACTORIES


@pytest.fixture
def installed():
    ferrio.install()
    yield
    ferrio.uninstall()


def chain(error: BaseException | None) -> list[str]:
    types = []
    while error is not None:
        types.append(type(error).__name__)
        error = error.__context__
    return types


def test_the_exception_being_handled_is_the_context_of_what_is_raised():
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def future(kind):
            made = loop.create_future()
            if kind == "cancelled":
                made.cancel("message")
            elif kind == "failed":
                made.set_exception(KeyError(kind))
                made.exception()
            return made

        async def awaiting(awaitable):
            await awaitable

        async def result(future):
            future.result()

        async def exception(future):
            future.exception()

        async def set_twice(future):
            future.set_result(None)

        ways = [awaiting, result, exception, set_twice]
        for way in ways:
            for kind in ("cancelled", "failed", "pending"):
                if (way, kind) not in ((awaiting, "pending"), (exception, "failed"), (set_twice, "pending")):
                    try:
                        raise ValueError
                    except ValueError:
                        try:
                            await way(future(kind))
                        except BaseException as error:
                            trace.append((way.__name__, kind, chain(error)))

    assert_same(scenario)


@pytest.mark.parametrize("kind", ["stock", "ferrio"])
def test_what_is_handled_outside_the_loop_is_the_context_of_a_cancellation_in_it(kind):
    contexts = {}

    async def wait(name, awaitable):
        try:
            await awaitable
        except BaseException as error:
            contexts[name] = chain(error)

    async def start(*waits):
        tasks = [asyncio.create_task(wait(*each)) for each in waits]
        await asyncio.sleep(0)
        return tasks

    loop = FACTORIES[kind]()
    future = loop.create_future()
    tasks = loop.run_until_complete(start(("asleep", asyncio.sleep(60)), ("failed", future)))
    try:
        raise LookupError
    except LookupError:
        future.set_exception(ValueError())
        tasks[0].cancel()
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()
    assert contexts["asleep"] == ["CancelledError", "LookupError"]
    assert contexts["failed"] == ["ValueError"]


def test_queues_raise_with_a_context(installed):
    async def main():
        queue: asyncio.Queue = asyncio.Queue(1)
        chains = []
        # Empty, then full.
        for method in (queue.get_nowait, lambda: (queue.put_nowait(1), queue.put_nowait(2))):
            try:
                raise ValueError
            except ValueError:
                try:
                    method()
                except (asyncio.QueueEmpty, asyncio.QueueFull) as error:
                    chains.append(chain(error))
        assert chains == [["QueueEmpty", "ValueError"], ["QueueFull", "ValueError"]]

    asyncio.run(main())


def test_cancelling_what_waits_for_itself_is_a_recursion_error(installed):
    async def main():
        loop = asyncio.get_running_loop()
        reported = []
        loop.set_exception_handler(lambda loop, context: reported.append(type(context["exception"])))
        task = asyncio.current_task()
        never = loop.create_future()
        gathered = asyncio.gather(task, never)
        loop.call_soon(task.cancel)
        loop.call_later(0, never.set_result, None)
        # Nothing but the end of the test's own patience would end it.
        loop.call_later(0.01, gathered.set_result, "over")
        assert await gathered == "over"
        assert reported == [RecursionError]

    asyncio.run(main())
