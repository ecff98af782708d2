"""A user other than the one who runs the tests."""

import functools
import os
import subprocess
import sys

import pytest

NOBODY = 65534


@functools.cache
def _can_run_python() -> bool:
    if os.geteuid() != 0:
        return False
    command = [sys.executable, "-c", "import concurrent.futures.thread, ferrio.inspect"]
    try:
        return subprocess.run(command, user=NOBODY, capture_output=True, timeout=60, check=False).returncode == 0
    except PermissionError:
        return False


def skip_unless_another_user_can_run_python() -> None:
    """Processes of another user are made by root, and need to read the files of the interpreter and of ferrio."""
    if not _can_run_python():
        pytest.skip("another user cannot be had, or cannot read the files of this interpreter or of ferrio")
