"""Schedules that Hypothesis draws, and tests of unittest."""

import asyncio
import itertools
import subprocess
import sys
import textwrap
import unittest

import hypothesis
import pytest
from hypothesis import strategies

from ferrio import testing
from tests.testing_package.correct_programs import CORRECT
from tests.testing_package.faulty_programs import FAULTY, lost_item, lost_update

SETTINGS = hypothesis.settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def drawn(main, **options):
    @SETTINGS
    @hypothesis.given(testing.schedules(**options))
    def test(schedule):
        schedule.run(main)

    return test


@pytest.mark.parametrize("program", [program for program, *_ in FAULTY[:3]], ids=lambda program: program.__name__)
def test_hypothesis_finds_a_fault(program):
    with pytest.raises(Exception) as caught:
        drawn(program)()
    notes = "\n".join(caught.value.__notes__)
    assert "token: f2." in notes
    assert "Schedule(choices=(" in notes
    token = next(line for line in notes.splitlines() if line.startswith("token: ")).removeprefix("token: ")
    assert type(testing.replay(program, token).failure.exception) is type(caught.value)


@pytest.mark.parametrize("program", CORRECT[:4], ids=lambda program: program.__name__)
def test_a_correct_program_passes_each_schedule(program):
    drawn(program)()


def test_schedules_have_the_freedoms_that_were_asked_for():
    drawn(lost_update, order="loop")()
    drawn(lost_item, stall=0)()
    with pytest.raises(ValueError, match="order is"):
        testing.schedules(order="other")


def test_a_schedule_can_be_written_down_and_gives_the_result():
    async def main():
        first = asyncio.create_task(asyncio.to_thread(int))
        await asyncio.to_thread(int)
        return first.done()

    assert testing.Schedule().run(main) is False
    plans = itertools.product(range(3), repeat=3)
    assert {testing.Schedule(plan).run(main) for plan in plans} == {True, False}
    assert testing.Schedule([0, 10_000]).run(main) in (True, False)


def test_leftovers_fail_if_asked():
    async def main():
        kept.append(asyncio.create_task(asyncio.sleep(1)))

    kept = []
    testing.Schedule().run(main)
    with pytest.raises(testing.LeftoverError):
        testing.Schedule().run(main, leftovers="fail")


@hypothesis.settings(SETTINGS, max_examples=30)
@hypothesis.given(delays=strategies.lists(strategies.integers(0, 5), min_size=1, max_size=4))
@testing.simulate(schedules=5)
async def test_hypothesis_draws_the_arguments_of_a_simulated_test(delays):
    ended = await asyncio.gather(*(asyncio.sleep(delay, delay) for delay in delays))
    assert ended == delays


def test_without_hypothesis_only_the_strategy_is_missing():
    code = textwrap.dedent("""
        import sys
        sys.modules["hypothesis"] = None
        from ferrio import testing
        try:
            testing.schedules()
        except ImportError as error:
            print(error)
    """)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "ferrio[testing]" in out


UNITTESTS = """
import asyncio
import itertools
import unittest
from ferrio import testing


class Plain(unittest.TestCase):
    def setUp(self):
        self.value = 1

    @testing.simulate
    async def test_passes(self):
        await asyncio.sleep(3600)
        self.assertEqual(self.value, 1)

    @testing.simulate
    async def test_fails(self):
        first = asyncio.create_task(asyncio.to_thread(int))
        await asyncio.to_thread(int)
        self.assertFalse(first.done())

    @testing.simulate
    async def test_skips(self):
        self.skipTest("not here")


class Isolated(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.loop = asyncio.get_running_loop()
        await asyncio.sleep(0)

    async def test_with_its_own_loop(self):
        self.assertIs(asyncio.get_running_loop(), self.loop)

    @testing.simulate(schedules=20)
    async def test_simulated(self):
        self.assertIsNot(asyncio.get_running_loop(), self.loop)
        await asyncio.sleep(3600)

    async def asyncTearDown(self):
        self.assertIs(asyncio.get_running_loop(), self.loop)
"""


def test_unittest_runs_simulated_methods_beside_its_own_asynchronous_ones(tmp_path):
    (tmp_path / "test_it.py").write_text(UNITTESTS)
    command = [sys.executable, "-m", "unittest", "-v", "test_it"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stderr
    assert "Ran 5 tests" in out
    assert "FAILED (failures=1, skipped=1)" in out
    assert "token: f2." in out
    assert issubclass(unittest.IsolatedAsyncioTestCase, unittest.TestCase)
