"""Runs the tests on each supported Python that this machine has, one virtual environment for each.

    python scripts/matrix.py                              all tests on every Python
    python scripts/matrix.py --whole default --whole 3.13 all tests on these, the smoke tests on the others

Each run is what `make test`, `make test-python` or `make smoke` does, with its own PYTHON and VENV. They share cargo's
target directory: crates that do not depend on Python are compiled once, and an extension that is up to date is not
rebuilt. What the runs need (environments, extensions) is made ahead of them, one after the other, beside the checks and
tests and after them in priority. A table and the test runners' own closing lines come last; the exit status is 1 if
any run failed.

The script looks for interpreters in the variable PYTHONS (paths), at `python3` (or the variable PYTHON), among
`python3.X` on PATH, among pyenv's versions, and where scripts/debian_python.sh puts them. It names missing versions.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")

# By name in the table: the make targets that need the sources only, the tests, and what these need.
TARGETS = {
    "whole": (("check", "test-rust"), "test-python", "test-build"),
    "package": ((), "test-python", "test-build"),
    "smoke": ((), "smoke", "build"),
}

# Tests of scripts that read sources, figures, interpreters' paths and callgrind's counts: the Python that they run on
# has no part in what they find. One Python runs them, if one runs everything.
OF_SCRIPTS = [f"tests/tools/test_{name}.py" for name in ("figures", "instruction_counts", "matrix", "structure")]

# Modules that a virtual environment and the extension need. A pyenv shim of a version that is not selected fails here.
PROBE = """
import sys, sysconfig, venv
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("a build without the interpreter's lock")
print("%d.%d" % sys.version_info[:2], sys.version.split()[0], sys.executable)
"""

CLOSING_LINE = re.compile(
    r"^test result: .*|^=+ .*(?:passed|failed|errors?|no tests ran|skipped).* in [0-9.]+s.* =+$"
    r"|^(?:Success: no issues found|Found \d+ errors?) in .*"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that works."""

    version: str
    release: str
    path: str


@dataclass
class Run:
    """The checks and tests on one Python, and their result."""

    interpreter: Interpreter
    level: str
    variables: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    status: int = 0
    seconds: float = 0.0
    closing_lines: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return f"FAILED ({self.status})" if self.status else "passed"


def ask(path: str) -> Interpreter | None:
    """The Python that a command runs, if it is usable."""
    try:
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split(maxsplit=2)
    return Interpreter(words[0], words[1], words[2].strip()) if done.returncode == 0 and len(words) == 3 else None


def candidates(version: str, default: str) -> Iterator[str]:
    """Commands that may run this version, the most likely first."""
    yield from os.environ.get("PYTHONS", "").split()
    yield default
    for directory in os.get_exec_path():
        path = Path(directory, f"python{version}")
        if path.is_file():
            yield str(path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    found = [path for path in pyenv.glob(f"{version}.*") if re.fullmatch(r"[\d.]+", path.name)]
    for path in sorted(found, key=lambda path: [int(part) for part in path.name.split(".")], reverse=True):
        yield str(path / "bin" / "python")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    unpacked = Path(os.environ.get("FERRIO_PYTHONS") or cache / "ferrio" / "pythons")
    yield str(unpacked / version / "usr" / "bin" / f"python{version}")


def find(version: str, default: str) -> Interpreter | None:
    """The first candidate that runs this version."""
    for path in candidates(version, default):
        interpreter = ask(path)
        if interpreter and interpreter.version == version:
            return interpreter
    return None


def command(run: Run, *targets: str) -> list[str]:
    return ["make", *targets, f"PYTHON={run.interpreter.path}", *run.variables]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}


def make_ahead(run: Run, niceness: int, *targets: str) -> None:
    """Makes without a word what `make` will find made. What fails here fails there again, and is shown there."""
    subprocess.run(
        ["nice", "-n", str(niceness), *command(run, *targets)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def make(run: Run, *targets: str) -> None:
    """Runs make, prints its output as it arrives and keeps the closing lines."""
    arguments = command(run, *targets)
    print(f"\n== Python {run.interpreter.release}: {' '.join(arguments)}", flush=True)
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if CLOSING_LINE.match(line.rstrip("\n")):
            run.closing_lines.append(line.rstrip("\n"))
    run.status = process.wait() or run.status


def perform(runs: Sequence[Run]) -> None:
    """One run after the other, while a thread makes what the later ones need."""
    ahead = ThreadPoolExecutor(1)
    made: list[tuple[Future[None], Future[None]]] = []
    for run in runs:
        # Tests of another Python run meanwhile, and come first; beside the first there are checks only.
        niceness = 5 if made else 0
        _, _, needed = TARGETS[run.level]
        made.append(
            (
                ahead.submit(make_ahead, run, niceness, "environment"),
                ahead.submit(make_ahead, run, niceness, needed, *run.packages),
            )
        )
    try:
        for run, (environment_is_there, all_is_there) in zip(runs, made, strict=True):
            began = time.monotonic()
            checks, tests, _ = TARGETS[run.level]
            if checks:
                environment_is_there.result()
                make(run, *checks)
            all_is_there.result()
            make(run, *run.packages, tests)
            run.seconds = time.monotonic() - began
    finally:
        ahead.shutdown(cancel_futures=True)


def report(runs: Sequence[Run], missing: Sequence[str]) -> None:
    """The closing lines of each run, then the table."""
    for run in runs:
        print(f"\n== closing lines, Python {run.interpreter.release}, {run.level}")
        print("\n".join(run.closing_lines) or "no test runner got as far as its closing line")
    print(f"\n{'Python':<10}{'tests':<10}{'result':<14}{'minutes':>8}  interpreter")
    for run in runs:
        minutes = f"{run.seconds / 60:.1f}"
        of_what = f"{run.interpreter.release:<10}{run.level:<10}"
        print(f"{of_what}{run.verdict:<14}{minutes:>8}  {run.interpreter.path}")
    for version in missing:
        print(f"{version:<10}{'none':<10}{'not found':<14}")


def main() -> int:
    parser = argparse.ArgumentParser(description="the tests on each Python of this machine")
    parser.add_argument(
        "--whole",
        action="append",
        metavar="VERSION",
        help="all tests on this version only (or `default`), the smoke tests on the others; repeatable",
    )
    parser.add_argument(
        "--package",
        action="append",
        metavar="VERSION",
        default=[],
        help="the tests of the package on this version, without the checks and the Rust tests; repeatable",
    )
    parser.add_argument(
        "--interop",
        action="append",
        metavar="VERSION",
        default=[],
        help="with tests/interop on this version; repeatable",
    )
    parser.add_argument("--list", action="store_true", help="only say which interpreters there are")
    arguments = parser.parse_args()
    default = shutil.which(os.environ.get("PYTHON") or "python3") or sys.executable
    standard = ask(default)
    found = {version: find(version, default) for version in VERSIONS}
    missing = [version for version, interpreter in found.items() if interpreter is None]
    # The default Python comes first: it is the one that most people run.
    present = sorted(
        (one for one in found.values() if one), key=lambda one: (one != standard, VERSIONS.index(one.version))
    )
    for version, interpreter in found.items():
        print(f"Python {version}: {interpreter.path if interpreter else 'not found'}")
    if arguments.list:
        return 0
    if not present:
        print(f"none of Python {', '.join(VERSIONS)} is here", file=sys.stderr)
        return 1

    def named(names: Sequence[str]) -> set[str]:
        return {standard.version if name == "default" and standard else name for name in names}

    whole, package = named(arguments.whole or VERSIONS), named(arguments.package)
    interop = named(arguments.interop)
    runs = []
    for interpreter in present:
        version = interpreter.version
        level = "whole" if version in whole else "package" if version in package else "smoke"
        # The default uses the environment and profile of a plain `make test`; the others' profile compiles faster.
        own: tuple[str, ...] = () if interpreter == standard else (f"VENV=.venv-{version}", "PROFILE=quick")
        if level == "package" and whole & {one.version for one in present}:
            own += (f"LEAVE_OUT={' '.join(OF_SCRIPTS)}",)
        runs.append(Run(interpreter, level, own, ("interop-packages",) if version in interop else ()))
    perform(runs)
    report(runs, missing)
    return 1 if any(run.status for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
