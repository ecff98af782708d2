"""Random programs with a TaskGroup show the same on asyncio and on ferrio."""

import asyncio

from hypothesis import given, settings, strategies

from tests.support.differential import assert_same_functions, outcome, outcome_of
from tests.support.task_groups import raised, shown, working

STEPS = strategies.lists(
    strategies.one_of(
        strategies.tuples(
            strategies.just("start"), strategies.integers(0, 4), strategies.sampled_from(["", "fail", "stay"])
        ),
        strategies.tuples(strategies.just("cancel"), strategies.integers(0, 9)),
        strategies.tuples(strategies.just("cancel_parent")),
        strategies.tuples(strategies.just("turn")),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS, strategies.booleans())
def test_random_programs_show_the_same(inside, outside, fails):
    async def scenario(api, trace):
        group = api.TaskGroup()
        tasks = []

        async def child(turns, end):
            number = len(tasks)
            try:
                await working(trace, number, turns, LookupError(number) if end == "fail" else None)
            except asyncio.CancelledError:
                if end != "stay":
                    raise
                await working(trace, number, 2)

        async def run(steps):
            for name, *arguments in steps:
                if name == "turn":
                    await asyncio.sleep(0)
                elif name == "cancel_parent":
                    parent.cancel()
                elif name == "cancel" and tasks:
                    tasks[arguments[0] % len(tasks)].cancel()
                elif name == "start":
                    coroutine = child(*arguments)
                    kind, *rest = outcome(group.create_task, coroutine)
                    if kind == "returned":
                        tasks.extend(rest)
                    else:
                        trace.append(rest)
                        coroutine.close()
                trace.append(shown(group))

        async def work():
            async with group:
                await run(inside)
                if fails:
                    raise ValueError("the block's")

        parent = asyncio.ensure_future(raised(work()))
        await asyncio.sleep(0)
        await run(outside)
        for _ in range(20):
            await asyncio.sleep(0)
        parent.cancel()
        trace.append(await outcome_of(parent))
        trace.append((shown(group), [task.done() for task in tasks]))

    assert_same_functions(scenario)
