"""Where the upstream suites come from, what they need, and one run of one suite in one mode.

Everything lands in target/upstream: the source distributions, and a virtual environment per Python with what
requirements/upstream.txt pins. The suites run against the installed packages, not against the unpacked sources.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import ferrio

ROOT = Path(__file__).parents[2]
WORK = ROOT / "target" / "upstream"
REQUIREMENTS = ROOT / "requirements" / "upstream.txt"
PLUGIN = "upstream_plugin"
TIME_LIMIT = 60

MODES = ("stock", "whole", "loop")


class Suite(NamedTuple):
    """A suite: its project on the package index, the sources that must not shadow the installed package."""

    name: str
    package: str | None
    arguments: tuple[str, ...]


SUITES = {
    "anyio": Suite("anyio", None, ()),
    "uvicorn": Suite("uvicorn", None, ("--ignore=tests/benchmarks",)),
    "aiohttp": Suite("aiohttp", "aiohttp", ("-m", "not dev_mode and not autobahn and not internal")),
}


def version(suite: Suite) -> str:
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        name, _, pinned = line.partition("==")
        if name == suite.name:
            return pinned.strip()
    raise LookupError(f"{REQUIREMENTS} does not pin {suite.name}")


def sources(suite: Suite, mode: str) -> Path:
    """An unpacked source distribution for this mode alone, since suites write beside their tests."""
    name = f"{suite.name}-{version(suite)}"
    archive = WORK / f"{name}.tar.gz"
    if not archive.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(WORK), name.replace("-", "==")], check=True)
    place = WORK / f"{sys.version_info.major}.{sys.version_info.minor}-{mode}"
    if not (place / name).exists():
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        if suite.package:
            shutil.rmtree(place / name / suite.package)
    return place / name


def environment() -> Path:
    """The interpreter of the virtual environment that the suites run in."""
    place = WORK / f"venv-{sys.version_info.major}.{sys.version_info.minor}"
    stamp = place / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        # pip of this interpreter installs: not every distribution's Python can give a new environment its own.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
        shutil.copyfile(REQUIREMENTS, stamp)
    return place / "bin" / "python"


def run(suite: Suite, mode: str, workers: int, chosen: tuple[str, ...] = ()) -> dict[str, Any]:
    """What became of every test of the suite, or of those chosen, by test id."""
    directory = sources(suite, mode)
    interpreter = environment()
    plugins = WORK / "plugins"
    plugins.mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("plugin.py"), plugins / f"{PLUGIN}.py")
    # A few tests run once more leave the figures of the whole run in place.
    output_name = f"{directory.name}-chosen" if chosen else directory.name
    results = directory.with_name(f"{output_name}.json")
    results.unlink(missing_ok=True)
    paths = [str(plugins), str(Path(ferrio.__file__).parents[1])]
    variables = {"UPSTREAM_MODE": mode, "UPSTREAM_RESULTS": str(results), "PYTHONPATH": os.pathsep.join(paths)}
    pytest = [str(interpreter), "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", "-n", str(workers)]
    pytest += ["-o", "addopts=", "-o", "faulthandler_timeout=0", f"--timeout={TIME_LIMIT}", *suite.arguments, *chosen]
    with directory.with_name(f"{output_name}.txt").open("w", encoding="utf-8") as output:
        subprocess.run(pytest, cwd=directory, env=os.environ | variables, stdout=output, stderr=output, check=False)
    if not results.exists():
        raise RuntimeError(f"the suite did not run: see {output.name}")
    outcomes: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return outcomes
