"""`--fail-on-block`: a program and a test fail if a callback blocks a loop, and say where."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)

PROGRAM = """
import asyncio, sys, time
import ferrio.inspect

async def main():
    await asyncio.sleep(0)
    if "block" in sys.argv:
        while not ferrio.inspect.blocks():
            time.sleep(0.001)

asyncio.run(main())
if "fail" in sys.argv:
    sys.exit(7)
if "leave" in sys.argv:
    sys.exit()
"""


def run(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "ferrio", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)


@pytest.mark.parametrize("option", [["--fail-on-block", "20ms"], ["--fail-on-block=0.02s"]])
@pytest.mark.parametrize("end", [[], ["leave"]], ids=["end", "exit"])
def test_a_program_that_blocks_fails_and_says_where(tmp_path, option, end):
    result = run(tmp_path, *option, "program.py", "block", *end)
    assert result.returncode == 3
    assert re.search(
        r"^ferrio: a loop was blocked once:\n    The loop was blocked for \S+ seconds by task 'Task-1' \(main\) "
        r"at main \(\S*program\.py:(8|9|10)\)$",
        result.stderr,
        re.MULTILINE,
    )


def test_a_program_that_does_not_block_ends_as_ever(tmp_path):
    result = run(tmp_path, "--fail-on-block", "1000s", "program.py")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_program_that_fails_keeps_its_exit_status(tmp_path):
    assert run(tmp_path, "--fail-on-block", "20ms", "program.py", "block", "fail").returncode == 7


@pytest.mark.parametrize("limit", ["", "0", "-1s", "5m", "soon", "nan", "inf"])
def test_what_is_no_duration_is_refused(tmp_path, limit):
    result = run(tmp_path, f"--fail-on-block={limit}", "program.py")
    assert result.returncode == 2
    assert result.stderr.startswith("ferrio: --fail-on-block")


TESTS = """
import asyncio, time
import ferrio, ferrio.inspect

def run(block):
    async def main():
        known = len(ferrio.inspect.blocks())
        while block and len(ferrio.inspect.blocks()) == known:
            time.sleep(0.001)
    ferrio.run(main())

def test_blocks():
    run(True)

def test_blocks_and_fails():
    run(True)
    assert not "the test's own error"

def test_goes_on():
    run(False)
"""


def pytest_in(tmp_path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)


def test_pytest_fails_the_test_in_which_a_loop_was_blocked(tmp_path):
    result = pytest_in(tmp_path, "--ferrio-fail-on-block=20ms", "-rA")
    assert re.search(r"^FAILED test_it.py::test_blocks - Failed: a loop was blocked once", result.stdout, re.MULTILINE)
    assert re.search(
        r"by task 'Task-\d+' \(run.<locals>.main\) at run.<locals>.main \(\S+test_it.py:\d+\)", result.stdout
    )
    assert "FAILED test_it.py::test_blocks_and_fails - assert not" in result.stdout
    assert "PASSED test_it.py::test_goes_on" in result.stdout


def test_pytest_refuses_what_is_no_duration(tmp_path):
    result = pytest_in(tmp_path, "--ferrio-fail-on-block=soon")
    assert result.returncode == 4
    assert "--ferrio-fail-on-block: 'soon' is no duration" in result.stderr


def test_without_the_option_nothing_watches(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys, threading\ndef test_it():\n    assert 'ferrio.inspect' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"]
    environment = os.environ | {"FERRIO_INSPECT": ""}
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stdout
