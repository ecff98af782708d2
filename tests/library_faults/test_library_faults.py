"""Each release that has the fault fails its example, and the release that mends it passes the same exploration.

`make library-faults` installs the releases into a folder, which FERRIO_LIBRARY_FAULTS names, and runs these tests. The
faults of asyncio itself need no release.
"""

import os
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
]


def explore(example: str, program: str, release: Path | None) -> str:
    """The report of an example's program, with a release of the library in front of what is installed."""
    command = [sys.executable, "-m", f"examples.library_faults.{example}", program]
    environment = os.environ | {"PYTHONPATH": str(release) if release is not None else ""}
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
