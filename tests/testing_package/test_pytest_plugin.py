"""The options of pytest that the wheel brings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import asyncio
import unittest
from ferrio import testing

runs = 0

@testing.simulate
async def test_race():
    balance = 100
    async def withdraw(amount):
        nonlocal balance
        seen = balance
        await asyncio.to_thread(int)
        balance = seen - amount
    first = asyncio.create_task(withdraw(10))
    await asyncio.to_thread(int)
    await asyncio.to_thread(int)
    await asyncio.gather(first, withdraw(20))
    assert balance == 70

@testing.simulate
async def test_budget(tmp_path):
    global runs
    runs += 1
    print("run", runs)
    await asyncio.gather(*(asyncio.to_thread(int) for _ in range(5)))

class Case(unittest.TestCase):
    @testing.simulate
    async def test_method(self):
        await asyncio.sleep(3600)
        self.assertTrue(True)
"""


@pytest.fixture
def run_pytest(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(TESTS)

    def run(*arguments: str) -> str:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            *arguments,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
        ).stdout

    return run


def test_a_failing_test_shows_the_token_and_is_replayed_from_it(run_pytest):
    out = run_pytest("-k", "race")
    assert "1 failed" in out
    token = re.search(r"token: (f2\.\S+)", out)
    assert token is not None, out
    again = run_pytest("-k", "race", "--ferrio-replay", token[1])
    assert "1 failed" in again
    assert "assert" in again


def test_the_budget_is_an_option(run_pytest):
    out = run_pytest("-k", "budget", "-s", "--ferrio-schedules", "7")
    assert "run 7" in out
    assert "run 8" not in out
    assert "1 passed" in out


def test_methods_of_test_cases_are_simulated(run_pytest):
    assert "1 passed" in run_pytest("-k", "method", "--ferrio-seed", "5")
