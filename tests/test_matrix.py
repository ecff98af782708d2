"""scripts/matrix.py: finds what works, names what is not there, and fails when a run fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "matrix.py"
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def matrix(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs it where there is no Python but this one and those below `home`."""
    environment = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home), "PYTHON": sys.executable}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def versions(output: str) -> dict[str, str]:
    lines = [line for line in output.splitlines() if line.startswith("Python 3.")]
    return {line.split()[1].rstrip(":"): line.split(": ", 1)[1] for line in lines}


def test_each_supported_version_is_named(tmp_path):
    found = versions(matrix(tmp_path, "--list").stdout)
    assert list(found) == ["3.11", "3.12", "3.13", "3.14"]
    assert os.path.samefile(found[OWN], sys.executable)


def test_a_command_that_does_not_work_is_not_found(tmp_path):
    other = next(version for version in ("3.14", "3.12") if version != OWN)
    executable(tmp_path / "bin" / f"python{other}", "#!/bin/sh\nexit 127\n")
    if os.path.exists(f"/usr/bin/python{other}"):
        pytest.skip("the system has one that works")
    assert versions(matrix(tmp_path, "--list").stdout)[other] == "not found"


@pytest.mark.parametrize("status", [0, 2])
def test_what_make_says_is_the_result(tmp_path, status):
    closing = "===== 3 passed in 1.00s ====="
    executable(tmp_path / "bin" / "make", f'#!/bin/sh\necho "asked for $1"\necho "{closing}"\nexit {status}\n')
    done = matrix(tmp_path, "--whole", "default")
    assert done.returncode == (1 if status else 0), done.stderr
    assert "asked for test" in done.stdout
    report = done.stdout.partition("== closing lines")[2]
    assert closing in report
    assert (f"FAILED ({status})" if status else "passed ") in report
