"""The order in which a set of tasks is iterated: replayable, explored, and told from other freedoms."""

import asyncio

import pytest

from ferrio import testing


async def first_of_the_done():
    """Takes the first of several tasks that are done for the one that was made first."""
    tasks = [asyncio.create_task(asyncio.sleep(0, number)) for number in range(3)]
    done, _ = await asyncio.wait(tasks)
    assert next(iter(done)).result() == 0


async def order_of_all_tasks():
    """Cancels what `all_tasks` gives, and relies on the order."""
    cancelled = []

    async def work(number):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert cancelled == sorted(cancelled)


async def background_tasks():
    """Keeps tasks in a set, as asyncio's documentation says, and relies on nothing else."""
    background = set()
    ended = []
    for number in range(5):
        task = asyncio.create_task(asyncio.sleep(0, number))
        background.add(task)
        task.add_done_callback(background.discard)
        task.add_done_callback(lambda task: ended.append(task.result()))
    while background:
        await asyncio.sleep(0)
    assert ended == list(range(5))


@pytest.mark.parametrize("program", [first_of_the_done, order_of_all_tasks])
def test_relying_on_the_order_of_a_set_is_found_in_the_contract_only(program):
    assert testing.explore(program, order="loop").failure is None
    report = testing.explore(program)
    assert report.failure is not None
    assert report.found_after is not None
    assert report.found_after <= 20
    assert report.failure.classification == "set"
    assert "sets of tasks are iterated in reverse" in report.failure.story
    for _ in range(3):
        assert testing.replay(program, report.failure.token).failure is not None


@pytest.mark.parametrize("order", ["loop", "contract"])
def test_a_set_of_background_tasks_is_no_fault(order):
    report = testing.explore(background_tasks, order=order)
    assert report.failure is None, str(report)
    assert report.exhausted


def test_each_two_tasks_of_a_set_are_met_in_both_orders():
    orders = set()

    async def main():
        tasks = {asyncio.create_task(asyncio.sleep(0), name=f"named-{number}") for number in range(5)}
        orders.add(tuple(int(task.get_name()[-1]) for task in tasks))
        await asyncio.wait(tasks)

    assert testing.explore(main).exhausted
    for one in range(5):
        for other in range(one):
            assert {order.index(one) < order.index(other) for order in orders} == {True, False}
    # The undisturbed one, its reverse, and others.
    assert 4 <= len(orders) <= 8


@pytest.mark.parametrize("before", range(8))
def test_three_tasks_of_a_set_are_met_in_all_orders(before):
    orders = set()

    async def main():
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(before)))
        for _ in range(before):
            await asyncio.create_task(asyncio.sleep(0))
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
        orders.add(tuple(tasks.index(task) for task in set(tasks)))
        await asyncio.gather(*tasks)

    report = testing.explore(main)
    assert report.exhausted
    assert len(orders) == 6


async def the_last_is_not_the_second():
    """Relies on an order that neither creation nor its reverse violates."""
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
    order = [tasks.index(task) for task in set(tasks)]
    await asyncio.gather(*tasks)
    assert order[1] == 1


def test_another_order_is_found_and_named():
    failure = testing.explore(the_last_is_not_the_second).failure
    assert failure.classification == "set"
    assert "sets of tasks are iterated in another order" in failure.story
    assert testing.replay(the_last_is_not_the_second, failure.token).failure is not None


def test_a_task_stays_in_its_set_after_its_run():
    kept = set()

    async def main():
        kept.add(asyncio.current_task())

    testing.explore(main)
    assert kept
    assert all(task in kept for task in list(kept))


def test_a_program_without_sets_of_tasks_has_no_choice_about_them():
    async def main():
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    report = testing.explore(main)
    assert report.exhausted
    assert report.distinct == 1


def test_a_group_cancels_its_tasks_in_the_order_of_its_set():
    async def main():
        cancelled = []

        async def work(number):
            try:
                await asyncio.sleep(10)
            finally:
                cancelled.append(number)

        async def fail():
            raise ValueError

        async def run_group():
            async with asyncio.TaskGroup() as group:
                group.create_task(work(1))
                group.create_task(work(2))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            await run_group()
        assert cancelled == [1, 2]

    report = testing.explore(main)
    assert report.failure is not None
    assert report.failure.classification == "set"
