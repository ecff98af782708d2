"""Type checkers treat `import ferrio as asyncio` as asyncio: a program that uses every public name passes them."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ferrio

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "typed" / "program.py"

# What a type checker must find wrong, else it has not looked.
WRONG = """
import ferrio as asyncio

async def job() -> int:
    return 1

async def main() -> None:
    right = asyncio.create_task(job())
    wrong: asyncio.Task[str] = right
    print(asyncio.subprocess.NOTHING)
"""


def run(*command: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=110, check=False)


def test_the_program_uses_every_public_name():
    used = {
        node.attr
        for node in ast.walk(ast.parse(PROGRAM.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "asyncio"
    }
    assert set(ferrio.__all__) - used == set()


def test_the_program_runs(tmp_path):
    done = run(sys.executable, "-W", "ignore", PROGRAM, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_mypy_is_satisfied(tmp_path, version):
    """Of each version: the stubs of the standard library know them all."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", version, "--cache-dir", tmp_path]
    done = run(*command, PROGRAM)
    assert done.returncode == 0, done.stdout
    (tmp_path / "wrong.py").write_text(WRONG)
    wrong = run(*command, tmp_path / "wrong.py").stdout
    assert "[assignment]" in wrong
    assert 'has no attribute "NOTHING"' in wrong


def pyright() -> list[str] | None:
    """PyPI's `pyright` fetches node when it is first run, so npm's is what is used: in PATH, or where PYRIGHT says."""
    chosen = os.environ.get("PYRIGHT") or shutil.which("pyright", path=f"{ROOT}/node_modules/.bin")
    chosen = chosen or shutil.which("pyright")
    if chosen is None or shutil.which("node") is None:
        return None
    with open(chosen, "rb") as file:
        return [chosen] if b"node" in file.readline() else None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
@pytest.mark.skipif(pyright() is None, reason="npm's pyright is not here: npm install pyright, which needs node")
def test_pyright_is_satisfied(tmp_path, version):
    # Asyncio's own policies are deprecated in later versions; strict mode would have nobody use them.
    settings = {"typeCheckingMode": "strict", "reportDeprecated": False, "pythonVersion": version}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    (tmp_path / "program.py").write_text(PROGRAM.read_text())
    command = [*(pyright() or []), "--pythonpath", sys.executable]
    done = run(*command, "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (tmp_path / "wrong.py").write_text(WRONG)
    wrong = run(*command, "wrong.py", cwd=tmp_path).stdout
    assert "reportAssignmentType" in wrong
    assert '"NOTHING" is not a known attribute' in wrong
