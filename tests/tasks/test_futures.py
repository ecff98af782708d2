"""Native futures behave as asyncio's."""

import asyncio
import sys
from typing import Any

import pytest

import ferrio
from tests.support.differential import assert_same, assert_same_functions, masked, outcome, outcome_of


def test_states_results_and_their_errors_are_asyncios():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        ends = [
            lambda future: future.set_result([1]),
            lambda future: future.set_exception(LookupError("failed")),
            lambda future: future.set_exception(LookupError),
            lambda future: future.cancel("enough"),
            lambda future: future.set_exception(5),
            lambda future: future.set_exception(StopIteration(3)),
        ]
        for end in ends:
            future = loop.create_future()
            trace.append((masked(repr(future)), outcome(future.result), outcome(future.exception)))
            trace.append(outcome(end, future))
            trace.append((masked(repr(future)), future.done(), future.cancelled(), future._state))
            trace.append((outcome(future.result), masked(outcome(future.exception))))
            trace.append((outcome(future.set_result, 1), future.cancel()))

    assert_same(scenario)


def test_callbacks_are_asyncios():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def first(future):
            trace.append("first")

        def second(future):
            trace.append("second")
            raise LookupError("in a callback")

        trace.append(future._callbacks)
        for callback in (first, second, first, first):
            future.add_done_callback(callback)
        trace.append(masked(repr(future)))
        trace.append([callback is first for callback, _ in future._callbacks])
        trace.append((future.remove_done_callback(first), future.remove_done_callback(first)))
        future.add_done_callback(first)
        future.set_result(None)
        trace.append((future._callbacks, future.remove_done_callback(second)))
        await asyncio.sleep(0)
        future.add_done_callback(first)
        await asyncio.sleep(0)

    assert_same(scenario)


def test_the_iterator_is_asyncios():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        iterator = iter(future)
        trace.append((next(iterator) is future, future._asyncio_future_blocking))
        trace.append(outcome(iterator.send, None))
        future.set_result((1, 2))
        trace.append(outcome(lambda: list(future.__await__())))
        for iterator in (iter(future), future.__await__()):
            try:
                next(iterator)
            except StopIteration as stop:
                trace.append(stop.value)
        trace.append(outcome(iter(future).throw, LookupError("thrown")))
        trace.append(outcome(iter(future).throw, 5))
        closed = iter(future)
        trace.append((closed.close(), outcome(next, closed)))
        trace.append(await outcome_of(future))

    assert_same(scenario)


@pytest.mark.parametrize("name", ["get_loop", "cancel", "result", "exception"])
def test_a_future_that_was_not_initialized_says_so(name):
    for kind in (ferrio.Future, asyncio.Future):
        future = kind.__new__(kind)
        with pytest.raises((RuntimeError, asyncio.InvalidStateError), match="Future object is not initialized"):
            getattr(future, name)()


def test_a_future_can_be_subclassed_parametrized_and_referred_to_weakly():
    class Special(ferrio.Future):
        pass

    loop = ferrio.new_event_loop()
    future = Special(loop=loop)
    future.attribute = 1
    assert future.__dict__ == {"attribute": 1}
    assert future.__class__ == Special
    assert type(future) is Special
    assert ferrio.Future[int].__origin__ is ferrio.Future
    assert issubclass(ferrio.Task, ferrio.Future)
    loop.close()


def test_a_stop_iteration_is_whole_however_it_is_kept():
    loop = ferrio.new_event_loop()
    kept = []
    for number in range(100):
        future = loop.create_future()
        future.set_result([number])
        with pytest.raises(StopIteration) as caught:
            next(iter(future))
        stop = caught.value
        assert (stop.value, stop.args, repr(stop)) == ([number], ([number],), f"StopIteration([{number}])")
        if number % 3 == 0:
            kept.append((stop, stop.args, number))
        stop.note = number
    loop.close()
    assert all(stop.args is arguments == ([number],) for stop, arguments, number in kept)


def test_a_future_that_begins_again_is_as_on_asyncio():
    """Since 3.15 `__init__` may be called once only."""

    async def scenario(api: Any, trace):
        loop = asyncio.get_running_loop()

        class Own(api.Future):
            pass

        for kind in (api.Future, Own):
            future: Any = kind(loop=loop)
            future.set_result(1)
            said = outcome(future.__init__, loop=loop)
            trace.append([str(part).replace("_asyncio.", "").replace("ferrio.", "") for part in said])
            trace.append(future.done())

    assert_same_functions(scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_an_iterator_that_has_ended_answers_as_asyncios(fails):
    async def scenario(api, trace):
        future = api.Future()
        future.set_exception(LookupError("told")) if fails else future.set_result("told")
        iterator = future.__await__()
        for _ in range(3):
            try:
                next(iterator)
            except (StopIteration, LookupError) as error:
                trace.append(repr(error))

    assert_same_functions(scenario)


@pytest.mark.skipif(sys.version_info < (3, 15), reason="earlier Pythons begin again")
def test_a_task_begins_once_only():
    async def main():
        task: Any = asyncio.create_task(asyncio.sleep(0, "first"))
        other = asyncio.sleep(0, "second")
        with pytest.raises(RuntimeError, match="Task object is already initialized"):
            task.__init__(other)
        other.close()
        return await task

    assert ferrio.run(main()) == "first"
