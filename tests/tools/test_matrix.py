"""scripts/matrix.py: finds installed Pythons, names missing ones, and fails when a run fails."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "matrix.py"
UNPACK = SCRIPT.with_name("debian_python.sh")
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
    assert list(found) == ["3.11", "3.12", "3.13", "3.14", "3.15"]
    assert os.path.samefile(found[OWN], sys.executable)


def test_a_command_that_does_not_work_is_not_found(tmp_path):
    other = next(version for version in ("3.14", "3.12") if version != OWN)
    executable(tmp_path / "bin" / f"python{other}", "#!/bin/sh\nexit 127\n")
    if os.path.exists(f"/usr/bin/python{other}"):
        pytest.skip("the system has one that works")
    assert versions(matrix(tmp_path, "--list").stdout)[other] == "not found"


def test_what_was_unpacked_from_debian_is_found(tmp_path):
    other = next(version for version in ("3.15", "3.14") if version != OWN)
    if shutil.which(f"python{other}", path="/usr/bin:/bin"):
        pytest.skip("the system's own comes before it")
    said = f"{other} {other}.0 /somewhere/python{other}"
    path = tmp_path / ".cache" / "ferrio" / "pythons" / other / "usr" / "bin" / f"python{other}"
    executable(path, f"#!/bin/sh\necho {said}\n")
    assert versions(matrix(tmp_path, "--list").stdout)[other] == f"/somewhere/python{other}"


def test_a_machine_without_apt_says_that_there_is_no_python_from_debian(tmp_path):
    for command in ("bash", "dirname", "rm", "mktemp"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / command).symlink_to(shutil.which(command) or command)
    environment = {"PATH": f"{tmp_path}/bin", "HOME": str(tmp_path)}
    run = [tmp_path / "bin" / "bash", UNPACK, "3.15"]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Python 3.15 is not to be had from Debian here: there is no apt-get\n"


def test_a_python_from_debian_that_is_there_is_used_again(tmp_path):
    path = executable(tmp_path / "3.15" / "usr" / "bin" / "python3.15", "#!/bin/sh\n")
    environment = os.environ | {"FERRIO_PYTHONS": str(tmp_path)}
    done = subprocess.run([UNPACK, "3.15"], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{path}\n"


def asked(home: Path, *arguments: str) -> list[list[str]]:
    """The targets that are made with this Python, in this order; the machine may have others, which come later."""
    text = f'#!/bin/sh\ncase "$*" in *PYTHON={sys.executable}*) echo "$*" >>{home}/asked;; esac\n'
    executable(home / "bin" / "make", text)
    matrix(home, *arguments)
    lines = (home / "asked").read_text().splitlines()
    return [[word for word in line.split() if "=" not in word] for line in lines]


@pytest.mark.parametrize(("level", "tests"), [("whole", "test-python"), ("package", "test-python"), ("smoke", "smoke")])
def test_a_version_gets_the_tests_that_are_asked_for(tmp_path, level, tests):
    chosen = () if level == "smoke" else (f"--{level}", "default")
    found = asked(tmp_path, "--whole", "3.0", *chosen, "--interop", "default")
    assert (["check", "test-rust"] in found) == (level == "whole")
    assert found[-1] == ["interop-packages", tests]


def test_one_python_runs_the_tests_of_scripts(tmp_path):
    script = runpy.run_path(str(SCRIPT))
    assert all((SCRIPT.parents[1] / path).is_file() for path in script["OF_SCRIPTS"])
    executable(tmp_path / "bin" / "make", "#!/bin/sh\n")
    alone = matrix(tmp_path, "--whole", "3.0", "--package", "default").stdout
    assert "test-python" in alone
    assert "LEAVE_OUT" not in alone
    other = f"{sys.version_info[0]}.{sys.version_info[1] - 1 if sys.version_info >= (3, 12) else 12}"
    executable(tmp_path / "bin" / f"python{other}", f"#!/bin/sh\necho {other} {other}.0 $0\n")
    beside = matrix(tmp_path, "--whole", other, "--package", "default").stdout
    assert " ".join(script["OF_SCRIPTS"]) in beside


def test_what_the_tests_need_is_made_before_them(tmp_path):
    found = asked(tmp_path, "--whole", "default")
    assert sorted(found) == [["check", "test-rust"], ["environment"], ["test-build"], ["test-python"]]
    assert found[0] == ["environment"]
    assert found[-1] == ["test-python"]


@pytest.mark.parametrize("status", [0, 2])
def test_what_make_says_is_the_result(tmp_path, status):
    closing = "===== 3 passed in 1.00s ====="
    executable(tmp_path / "bin" / "make", f'#!/bin/sh\necho "asked for $1"\necho "{closing}"\nexit {status}\n')
    done = matrix(tmp_path, "--whole", "default")
    assert done.returncode == (1 if status else 0), done.stderr
    assert "asked for test-python" in done.stdout
    report = done.stdout.partition("== closing lines")[2]
    assert closing in report
    assert (f"FAILED ({status})" if status else "passed ") in report
