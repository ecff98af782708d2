"""Random programs without threads, I/O and ties have one schedule, in which they do the same each time."""

import asyncio
import gc
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ferrio import testing
from tests.random_programs.instructions import World
from tests.random_programs.strategies import THEMES

SCHEDULES = 20

# When what still runs is cancelled, in seconds of virtual time.
PATIENCE = 20.0


def observed(program, traces):
    """The program as an explored one; each run adds what it has shown."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.turn = 0  # which the instructions note: a simulated program has no use for turns
        world = World(loop)
        loop.set_exception_handler(lambda _, context: world.trace.append(("reported", context.get("message"))))
        world.make_primitives()
        world.spawn(program.main)
        for _ in range(5):
            await asyncio.sleep(PATIENCE)
            for task in world.tasks:
                if not task.done():
                    task.cancel("left")
        world.trace += [("in the end", task.get_name(), world.state_of(task)) for task in world.tasks]
        traces.append(list(world.trace))  # objects that are freed later write to it too

    return main


@pytest.mark.timeout(300)
@pytest.mark.parametrize("theme", [theme for theme in THEMES if theme != "exits"])
def test_a_random_program_passes_and_does_the_same_each_time(theme):
    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(THEMES[theme].programs())
    def same_each_time(program):
        traces: list = []
        report = testing.explore(
            observed(program, traces), schedules=SCHEDULES, stall=0, order="loop", rerun=True, progress=False
        )
        assert report.failure is None, str(report)
        assert report.exhausted
        assert report.distinct == 1
        assert len(traces) == SCHEDULES
        assert all(trace == traces[0] for trace in traces)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the programs leave writers open
        same_each_time()
        gc.collect()
