"""The example of the manual runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_passes():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/schedules"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert "3 passed" in result.stdout, result.stdout
