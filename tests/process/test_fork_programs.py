"""What a forked child inherits of loops, pools, signals and children behaves as with asyncio."""

import functools
import subprocess
import sys

import pytest

from tests.support.fork_programs import PROGRAMS

# From 3.14 on asyncio's tasks cannot go on in a child: their loop is not the running one there.
TASKS_GO_ON = {
    "a_task_goes_on_in_the_child",
    "what_asks_for_the_running_loop_fails_in_the_child",
    "a_child_that_says_what_runs_goes_on_wholly",
    "a_child_that_exits_inside_a_coroutine",
}
# The end of the task that forked is logged there as what it is, an error of its step.
LOGS = {"run_ends_in_the_child_as_well"}


@functools.cache
def run(kind: str, name: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.fork_programs", kind, name]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    if sys.version_info >= (3, 14) and name in LOGS:
        assert "is not the running loop" in process.stderr
    else:
        assert process.stderr == ""
    return process.stdout


@pytest.mark.parametrize("kind", ["loop", "install"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_forking_program_does_as_with_asyncio(kind, name):
    if sys.version_info >= (3, 14) and name in TASKS_GO_ON:
        pytest.skip("asyncio's tasks do not go on in a child")
    shown = run("stock", name)
    assert shown
    assert run(kind, name) == shown
