"""Whether the interpreter itself survives being refused memory where Python functions are made."""

import functools
import importlib.util
import subprocess
import sys

import pytest

_PROBE = """
from _testcapi import remove_mem_hooks, set_nomemory

def makes_functions():
    return lambda: 0, [(lambda each: each) for _ in range(3)], sum(each for each in range(3))

makes_functions()
for endless in (False, True):
    for start in range(30):
        set_nomemory(start, 0 if endless else start + 1)
        try:
            makes_functions()
        except MemoryError:
            pass
        finally:
            remove_mem_hooks()
"""


@functools.cache
def _survives() -> bool:
    return subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=60, check=False).returncode == 0


def skip_unless_python_code_can_be_refused_memory() -> None:
    """Skips the test on Pythons that crash by themselves, as 3.13.0 does, or that cannot refuse memory."""
    if importlib.util.find_spec("_testcapi") is None:
        pytest.skip("the interpreter's test module refuses memory")
    if not _survives():
        pytest.skip("this interpreter crashes when a Python function is made without memory")
