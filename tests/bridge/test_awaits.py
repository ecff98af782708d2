"""Rust awaits Python: any awaitable, exceptions both ways, several at a time, and nested levels."""

import asyncio

import pytest
import rust_extension


class Awaitable:
    def __init__(self, awaited):
        self.awaited = awaited

    def __await__(self):
        return self.awaited.__await__()


async def returning(value, turns=1):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def raising(error):
    await asyncio.sleep(0)
    raise error


def done_future(value):
    future = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def later_future(value):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.001, future.set_result, value)
    return future


MAKERS = {
    "coroutine": returning,
    "coroutine_without_wait": lambda value: returning(value, 0),
    "task": lambda value: asyncio.ensure_future(returning(value)),
    "done_future": done_future,
    "later_future": later_future,
    "awaitable": lambda value: Awaitable(returning(value)),
    "rust_coroutine": lambda value: rust_extension.lazy(value),
    "rust_task": lambda value: rust_extension.wake_once(value),
    "sleep": lambda value: asyncio.sleep(0.001, value),
    "gathered": lambda value: asyncio.gather(returning(value)),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("function", ["awaited", "nested"])
def test_rust_awaits_what_python_awaits(loop, maker, function):
    async def main():
        return await getattr(rust_extension, function)(MAKERS[maker]("value"))

    assert loop.run_until_complete(main()) == (["value"] if maker == "gathered" else "value")


@pytest.mark.parametrize("left", MAKERS)
@pytest.mark.parametrize("right", ["coroutine", "later_future", "rust_task", "done_future"])
def test_rust_awaits_two_at_a_time(loop, left, right):
    async def main():
        return await rust_extension.both(MAKERS[left](1), MAKERS[right](2))

    assert loop.run_until_complete(main()) == ([1] if left == "gathered" else 1, 2)


def test_exception_passes_through_every_level(loop):
    async def level(inner):
        return await inner

    async def main():
        error = KeyError("deep")
        with pytest.raises(KeyError) as caught:
            await rust_extension.nested(level(rust_extension.nested(level(raising(error)))))
        assert caught.value is error

    loop.run_until_complete(main())


def test_python_catches_what_rust_raises_and_goes_on(loop):
    async def catching():
        try:
            await rust_extension.failing("of rust")
        except ValueError as error:
            await asyncio.sleep(0)
            return str(error)

    async def main():
        return await rust_extension.nested(catching())

    assert loop.run_until_complete(main()) == "of rust"


def test_object_that_cannot_be_awaited_is_a_type_error(loop):
    async def main():
        with pytest.raises(TypeError, match="object int can't be used in 'await' expression"):
            await rust_extension.awaited(1)

    loop.run_until_complete(main())


def test_awaited_code_hears_of_a_bad_yield(loop):
    class Bad:
        def __await__(self):
            try:
                yield 1
            except RuntimeError as error:
                return str(error)

    async def main():
        return await rust_extension.awaited(Bad()), await rust_extension.both(Bad(), Bad())

    alone, (left, right) = loop.run_until_complete(main())
    assert alone == left == right == "Task got bad yield: 1"


def test_first_of_two_cancels_the_other(loop):
    events = []

    async def other():
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async def main():
        return await rust_extension.first(other(), returning("first", 3))

    assert loop.run_until_complete(main()) == "first"
    assert events == ["cancelled"]


def test_code_that_is_no_longer_awaited_may_clean_up_by_awaiting(loop):
    events = []

    async def other():
        try:
            await loop.create_future()
        finally:
            events.append("cleaning")
            await asyncio.sleep(0)
            events.append("clean")

    async def main():
        result = await rust_extension.first(other(), returning("first"))
        events.append(result)
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    loop.run_until_complete(main())
    assert events == ["cleaning", "first", "clean"]


def test_timeout_in_rust_cancels_a_task_and_lets_it_end(loop):
    async def main():
        task = asyncio.ensure_future(loop.create_future())
        result = await rust_extension.cancelled_after(0.001, task)
        await asyncio.wait([task])
        return result, task.cancelled()

    assert loop.run_until_complete(main()) == (None, True)


def test_code_that_raises_after_its_end_goes_to_the_exception_handler(loop):
    contexts = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    async def other():
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            raise KeyError("late") from None

    async def main():
        return await rust_extension.first(other(), returning(1))

    assert loop.run_until_complete(main()) == 1
    assert [repr(context["exception"]) for context in contexts] == ["KeyError('late')"]
