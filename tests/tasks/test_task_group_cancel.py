"""TaskGroup.cancel exists on every Python and behaves as asyncio's of 3.15."""

import asyncio
import contextlib
import sys
from typing import Any

import pytest

import ferrio
from tests.support.differential import assert_same_functions
from tests.support.task_groups import raised, shown, working

HAS_CANCEL = hasattr(asyncio.TaskGroup, "cancel")


def check(scenario, expected) -> None:
    """What the scenario leaves in its trace: on ferrio everywhere, on asyncio where that can cancel groups too."""
    for api in [ferrio, asyncio] if HAS_CANCEL else [ferrio]:
        trace: list[object] = []

        async def main(api=api, trace=trace):
            await scenario(api, trace)

        ferrio.run(asyncio.wait_for(main(), 20))
        assert trace == expected, api


def test_a_group_that_is_cancelled_in_its_block_ends_without_an_error():
    async def scenario(api, trace):
        async with api.TaskGroup() as group:
            tasks = [group.create_task(working(trace, number, 50)) for number in range(2)]
            await asyncio.sleep(0)
            group.cancel()
            group.cancel()
            await asyncio.sleep(60)
        trace.append([task.cancelled() for task in tasks])
        trace.append(asyncio.current_task().cancelling())
        group.cancel()
        await asyncio.sleep(0)
        trace.append(shown(group)[0])

    ends = [(0, "cancelled", ()), (0, "ended"), (1, "cancelled", ()), (1, "ended")]
    check(scenario, [*ends, [True, True], 0, "<TaskGroup cancelling>"])


def test_a_group_that_is_cancelled_and_whose_block_does_not_wait_ends_without_an_error():
    async def scenario(api, trace):
        async with api.TaskGroup() as group:
            group.create_task(working(trace, "task", 50))
            await asyncio.sleep(0)
            group.cancel()
        await asyncio.sleep(0)
        trace.append(asyncio.current_task().cancelling())

    check(scenario, [("task", "cancelled", ()), ("task", "ended"), 0])


def test_a_group_that_is_cancelled_before_its_block_ends_at_the_first_await():
    async def scenario(api, trace):
        group = api.TaskGroup()
        group.cancel()
        async with group:
            trace.append("entered")
            await asyncio.sleep(60)
            trace.append("not reached")
        trace.append(asyncio.current_task().cancelling())

    check(scenario, ["entered", 0])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_group_is_cancelled_while_its_parent_waits_for_it(turns):
    async def scenario(api, trace):
        async def cancels(group):
            for _ in range(turns):
                await asyncio.sleep(0)
            group.cancel()

        async with api.TaskGroup() as group:
            group.create_task(working(trace, "task", 50))
            task = group.create_task(cancels(group))
        await asyncio.sleep(0)
        trace.append((task.cancelled(), asyncio.current_task().cancelling()))

    check(scenario, [("task", "cancelled", ()), ("task", "ended"), (True, 0)])


def test_another_tasks_cancellation_comes_out_of_a_cancelled_group():
    async def scenario(api, trace):
        async def parent():
            try:
                async with api.TaskGroup() as group:
                    group.create_task(stubborn())
                    asyncio.get_running_loop().call_later(0, group.cancel)
            finally:
                trace.append(asyncio.current_task().cancelling())

        async def stubborn():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(0)
            task.cancel("from outside")
            await asyncio.sleep(0)

        task = asyncio.create_task(parent())
        trace.append((await raised(task))[1][:2])

    check(scenario, [1, ("CancelledError", "from outside")])


@pytest.mark.parametrize("first", ["cancel", "fail"])
def test_errors_come_out_of_a_cancelled_group(first):
    async def scenario(api, trace):
        async def failing():
            try:
                await asyncio.sleep(60)
            finally:
                raise LookupError("x")

        async def parent():
            async with api.TaskGroup() as group:
                group.create_task(failing())
                await asyncio.sleep(0)
                if first == "fail":
                    group.create_task(working([], "other", 0, ValueError("y")))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                group.cancel()
                await asyncio.sleep(60)

        try:
            await parent()
        except* (LookupError, ValueError) as group:
            trace.append(sorted(map(repr, group.exceptions)))
        trace.append(asyncio.current_task().cancelling())

    expected = ["LookupError('x')"] if first == "cancel" else ["LookupError('x')", "ValueError('y')"]
    check(scenario, [expected, 0])


def test_overridden_methods_are_called_when_a_group_is_cancelled():
    async def scenario(api: Any, trace):
        class Group(api.TaskGroup):
            def cancel(self):
                trace.append("cancel")
                super().cancel()

            def _abort(self):
                trace.append("abort")
                super()._abort()

        group = Group()
        group.cancel()
        trace.append(group._cancel_on_enter)
        async with group:
            trace.append("entered")

    check(scenario, ["cancel", True, "cancel", "abort", "entered"])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are there from 3.12 on")
def test_an_eager_task_that_cancels_its_group_is_cancelled_too():
    async def scenario(api, trace):
        async def cancels(group):
            group.cancel()
            await working(trace, "eager", 50)

        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with api.TaskGroup() as group:
            group.create_task(cancels(group))
        trace.append("left")

    check(scenario, [("eager", "cancelled", ()), ("eager", "ended"), "left"])


def test_the_group_of_install_can_be_cancelled():
    async def scenario():
        async with asyncio.TaskGroup() as group:
            group.cancel()
            await asyncio.sleep(60)
        return "left"

    ferrio.install()
    try:
        assert asyncio.run(scenario()) == "left"
    finally:
        ferrio.uninstall()


def test_leaving_gives_what_asyncios_gives():
    async def scenario(api, trace):
        for arguments in [(None, None, None), (LookupError, LookupError("x"), None)]:
            group = await api.TaskGroup().__aenter__()
            trace.append(await raised(group.__aexit__(*arguments)))

    assert_same_functions(scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_a_generator_with_a_group_is_closed_as_asyncio_closes_it(fails):
    async def scenario(api, trace):
        async def numbers():
            async with api.TaskGroup() as group:
                group.create_task(working(trace, "task", 50) if not fails else failing())
                await asyncio.sleep(0)
                yield 1

        async def failing():
            try:
                await asyncio.sleep(60)
            finally:
                raise LookupError("x")

        generator = numbers()
        trace.append(await anext(generator))
        trace.append(await raised(generator.aclose()))

    assert_same_functions(scenario)


def test_a_cancellation_from_outside_beside_a_failing_task_is_as_asyncios():
    async def scenario(api, trace):
        async def failing():
            raise LookupError("x")

        async def parent():
            async with api.TaskGroup() as group:
                group.create_task(stubborn())
                group.create_task(failing())

        async def stubborn():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(0)
            task.cancel("from outside")
            await asyncio.sleep(0)

        task = asyncio.create_task(parent())
        trace.append(await raised(task))
        trace.append(task.cancelling())

    assert_same_functions(scenario)
