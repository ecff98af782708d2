"""Each release that has the fault fails its example, and the release that mends it passes the same exploration.

`make library-faults` installs the releases into a folder, which FERRIO_LIBRARY_FAULTS names, and runs these tests. The
faults of asyncio itself need no release.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASES = os.environ.get("FERRIO_LIBRARY_FAULTS", "")

pytestmark = pytest.mark.timeout(300)

# The example, its program, the release, and what the report says: the classification, or that it passed.
CASES = [
    ("redis_answers", "plain", "redis-4.5.1", "arrival"),
    ("redis_answers", "pipeline", "redis-4.5.1", "arrival"),
    ("redis_answers", "plain", "redis-4.5.3", "arrival"),
    ("redis_answers", "pipeline", "redis-4.5.4", "arrival"),
    ("redis_answers", "plain", "redis-4.5.5", "passed"),
    ("redis_answers", "pipeline", "redis-4.5.5", "passed"),
    ("httpcore_pool", "cancelled_request", "httpcore-1.0.2", "arrival"),
    ("httpcore_pool", "cancelled_request", "httpcore-1.0.3", "passed"),
    ("anyio_items", "lost_item", "anyio-4.3.0", "stall"),
    ("anyio_items", "lost_item", "anyio-4.4.0", "passed"),
    ("anyio_items", "lost_notification", "anyio-4.12.0", "stall"),
    ("anyio_items", "lost_notification", "anyio-4.13.0", "passed"),
    ("async_timeout_cancellation", "swallowed_cancellation", "async-timeout-4.0.3", "stall"),
    ("async_timeout_cancellation", "swallowed_cancellation", "async-timeout-5.0.1", "passed"),
    ("aiohttp_connector", "lost_turn", "aiohttp-3.14.5", "stall"),
    ("aiohttp_connector", "passed_turn", "aiohttp-3.14.5", "passed"),
]


def explore(example: str, program: str, release: Path | None, **variables: str) -> str:
    """The report of an example's program, with a release of the library in front of what is installed."""
    command = [sys.executable, "-m", f"examples.library_faults.{example}", program]
    environment = os.environ | {"PYTHONPATH": str(release) if release is not None else ""} | variables
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=290, check=False
    )
    assert result.stdout, result.stderr
    return result.stdout


def check(report: str, expected: str) -> None:
    if expected == "passed":
        assert "passed" in report, report
    else:
        assert f"\n{expected}: " in report, report
        assert "token: f2." in report


@pytest.mark.skipif(not RELEASES, reason="`make library-faults` installs the releases")
@pytest.mark.parametrize(("example", "program", "release", "expected"), CASES)
def test_a_release_is_classified_right(example, program, release, expected):
    check(explore(example, program, Path(RELEASES) / release), expected)


def test_wait_for_swallows_a_cancellation_before_3_12():
    expected = "stall" if sys.version_info < (3, 12) else "passed"
    check(explore("asyncio_primitives", "swallowed_cancellation", None), expected)


def test_a_condition_loses_a_notification_before_3_13():
    expected = "stall" if sys.version_info < (3, 13) else "passed"
    check(explore("asyncio_primitives", "lost_notification", None), expected)


def python_3_9() -> str | None:
    """An interpreter whose semaphore has the fault, if there is one."""
    named = os.environ.get("FERRIO_OLD_PYTHON")
    pyenv = Path("~/.pyenv/versions").expanduser().glob("3.9.*/bin/python")
    code = "import asyncio; asyncio.Semaphore(1)._wakeup_scheduled"
    for candidate in filter(None, [named, shutil.which("python3.9"), *map(str, pyenv)]):
        asked = subprocess.run([candidate, "-c", code], capture_output=True, check=False)
        if asked.returncode == 0:
            return candidate
    return None


def test_a_semaphore_is_lost_before_3_10_8():
    old = python_3_9()
    if old is None:
        pytest.skip("there is no Python 3.9 here; FERRIO_OLD_PYTHON may name one")
    check(explore("asyncio_primitives", "lost_permit", None, FERRIO_OLD_PYTHON=old), "stall")


def test_a_semaphore_holds_since():
    check(explore("asyncio_primitives", "lost_permit", None, FERRIO_OLD_PYTHON=""), "passed")
