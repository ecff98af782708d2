"""How the tests of recordings run programs: in this process, or recorded by one process and replayed by another."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import ferrio
from ferrio import testing
from tests.testing_package import recorded_programs

PROGRAMS = Path(recorded_programs.__file__)
GENEROUS = 120.0


def run_script(*arguments, **keywords):
    command = [sys.executable, str(PROGRAMS), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS, check=False, **keywords)


def record(file, name):
    result = run_script("record", file, name)
    assert result.returncode == 0, result.stderr
    return result.stdout


def run(main):
    with asyncio.Runner(loop_factory=ferrio.EventLoop) as runner:
        return runner.run(main())


def recorded(file, main, **keywords):
    """Records a run in this process; gives what it ended with."""
    with testing.record(file, **keywords), contextlib.suppress(Exception):
        return run(main)
