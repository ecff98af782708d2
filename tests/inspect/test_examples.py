"""The commands in examples/README.md find the faults in examples/faults."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.faults.find import LIMITS
from tests.support.inspected import Inspected

pytestmark = pytest.mark.timeout(120)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOUND = {
    "two_locks.py": r"DEADLOCK of 2 tasks: .*\n.* waits at transfer \(\S+two_locks.py:16\)",
    "hung_child.py": r"for task group: task 'request 3'\n(   created .*\n)?-> .* waits at fetch \(\S+hung_child.py:7\)",
    "slow_regex.py": r"blocked for \S+ seconds by task 'request' \(handle\) at search \(\S+slow_regex.py:8\)",
    "busy_threads.py": r"convert \(\S+busy_threads.py:8\) +running .*(\n.*)*save \(\S+busy_threads.py:13\) +queued",
    "slow_reader.py": r"open, writing paused for \S+ s ",
    "lost_exception.py": r"LINT lost exception: task 'refresh' \(refresh\) failed \S+ s ago with KeyError",
    "lost_task.py": r"LINT lost task: task 'write log' \(write_log, created at main \(\S+lost_task.py:12\)\)",
    "spinning_task.py": r"LINT spinning task: task 'impatient' \(wait_for, created at main \(\S+:15\)\)",
    "held_lock.py": r"LINT held lock: lock \S+ is held for \S+ s by task 'refresh' .*, and 3 wait for it",
    "growing_queue.py": r"LINT growing queue: .*, which task '(send|write)' \(Mailer.*",
    "leaking_tasks.py": r"LINT growing tasks: tasks created at handle \(\S+leaking_tasks.py:13\) grow",
    "blocked_loop.py": r"1 task \[running\]: request\n    handle \(\S+:13\)\n    look_up \(\S+:8\)\n",
}


def commands() -> dict[str, str]:
    """The command for each fault, from the table."""
    table = (EXAMPLES / "README.md").read_text()
    return dict(re.findall(r"\]\(faults/(.+?)\) \| `ferrio (.+?)` \|", table))


def test_every_fault_is_in_the_table():
    present = {path.name for path in (EXAMPLES / "faults").glob("*.py")} - {"__init__.py", "find.py"}
    assert commands().keys() == FOUND.keys() == present


@pytest.mark.parametrize("name", FOUND)
def test_the_command_finds_the_fault(name, tmp_path):
    tmp_path.chmod(0o700)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "FERRIO_INSPECT_LINTS": LIMITS}
    command = [sys.executable, "-m", "ferrio", "run", "--inspect", str(EXAMPLES / "faults" / name)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            program = Inspected(process, environment)
            options = ("-d", "1") if commands()[name] == "watch" else ()
            while not re.search(FOUND[name], text := program.show(commands()[name], *options)):
                assert process.poll() is None, text
        finally:
            process.kill()
