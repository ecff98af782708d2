"""Where the upstream suites come from, what they need, and one run of one suite in one mode.

Everything lands in target/upstream: the source distributions, a virtual environment per Python with what
requirements/upstream.txt pins, and what single suites need besides. The suites run against the installed packages, not
against the unpacked sources.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ferrio
from benches.applications import peers

from . import debian

ROOT = Path(__file__).parents[2]
WORK = ROOT / "target" / "upstream"
REQUIREMENTS = ROOT / "requirements" / "upstream.txt"
PLUGIN = "upstream_plugin"
TIME_LIMIT = 60

MODES = ("stock", "whole", "loop")


class Suite(NamedTuple):
    """A suite: its project on the package index, the sources that must not shadow the installed package.

    `alone` says that the tests share something, so that they run in one process. `{redis}` in the arguments stands for
    the address of a private server. `beside` is a file of requirements/ that comes before upstream.txt. `debian` is
    Debian's name, version and hash of the sources, if the package index has them without tests.
    """

    name: str
    package: str | None
    arguments: tuple[str, ...]
    alone: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    beside: str | None = None
    debian: tuple[str, str, str] | None = None


# How an argument that names the tests begins.
TESTS = ("tests/", "tornado/test")
# The suites that do not use pytest-asyncio must not get it.
WITHOUT_PLUGIN = ("-p", "no:asyncio")

SUITES = {
    # ferrio's parts stand for the versions whose suite passes; a trial of another one has to use them too.
    "anyio": Suite("anyio", None, (*WITHOUT_PLUGIN,), variables=(("FERRIO_ANYIO", "try"),)),
    "uvicorn": Suite("uvicorn", None, ("--ignore=tests/benchmarks", *WITHOUT_PLUGIN)),
    "aiohttp": Suite("aiohttp", "aiohttp", ("-m", "not dev_mode and not autobahn and not internal", *WITHOUT_PLUGIN)),
    # It stands on anyio.
    "starlette": Suite("starlette", "starlette", ("--ignore=tests/benchmarks", *WITHOUT_PLUGIN)),
    # They stand on anyio too, and import trio; their tests run on it as well. Those of httpx share a port.
    "httpx": Suite("httpx", "httpx", (*WITHOUT_PLUGIN,), alone=True, beside="upstream-httpx.txt"),
    "httpcore": Suite("httpcore", "httpcore", (*WITHOUT_PLUGIN,), beside="upstream-trio.txt"),
    # What needs the examples, the documentation or the command line's packages is left out.
    "mcp": Suite(
        "mcp",
        None,
        (
            "--ignore=tests/docs",
            "--ignore=tests/docs_src",
            "--ignore=tests/examples",
            "--ignore=tests/test_examples.py",
            "--ignore=tests/cli",
            *WITHOUT_PLUGIN,
            "tests/",
        ),
        beside="upstream-trio.txt",
    ),
    # Its tests are in the package, under other names than usual, and without a configuration of pytest. They fail if
    # something is logged that their own runner turns off.
    "tornado": Suite(
        "tornado",
        None,
        ("-c", "pyproject.toml", "-o", "python_files=*_test.py", "-p", "no:logging", *WITHOUT_PLUGIN, "tornado/test"),
        variables=(("ASYNC_TEST_TIMEOUT", "25"), ("UPSTREAM_QUIET", "tornado.access")),
    ),
    # What makes keys and certificates takes longest and has no loop. The tests of a class share a server, so one
    # process runs all of a file.
    "asyncssh": Suite(
        "asyncssh",
        "asyncssh",
        (
            "--ignore=tests/test_public_key.py",
            "--ignore=tests/test_x509.py",
            # It wants a file that it cannot read; root can, and then the class waits for a connection for ever.
            "--deselect=tests/test_connection.py::_TestServerX509Self::test_trusted_x509_certs_not_readable",
            "--dist=loadfile",
            *WITHOUT_PLUGIN,
        ),
    ),
    # What needs a cluster, a module of the server, TLS or replicas has no server here; nor have the ignored files.
    "redis": Suite(
        "redis",
        "redis",
        (
            "-m",
            "not onlycluster and not redismod and not ssl and not replica and not cp_integration and not experimental"
            " and not multidb_integration",
            "--redis-url={redis}",
            "--ignore=tests/test_asyncio/test_scenario",
            "--ignore=tests/test_asyncio/test_credentials.py",
            "--ignore=tests/test_asyncio/test_search.py",
            "--ignore=tests/test_asyncio/test_vsets.py",
            "tests/test_asyncio",
        ),
        alone=True,
    ),
    "websockets": Suite(
        "websockets",
        "src",
        ("-c", "pyproject.toml", *WITHOUT_PLUGIN, "tests/asyncio", "tests/legacy"),
        beside="upstream-websockets.txt",
        debian=(
            "python-websockets",
            "15.0.1-1",
            "8451495265af3e368f794c4dc15c99ce90c771d95560f542bff8c64b5455af3b",
        ),
    ),
}

# Versions in the place of those that are pinned, by the name of the suite.
chosen_versions: dict[str, str] = {}


def choose_version(name: str, wanted: str) -> None:
    """Runs a suite at another version than the pinned one; "newest" is what the package index has now."""
    if wanted == "newest":
        with tempfile.TemporaryDirectory() as place:
            _download(name, Path(place))
            (archive,) = Path(place).glob("*.tar.gz")
            wanted = archive.name.removesuffix(".tar.gz").rpartition("-")[2]
    chosen_versions[name] = wanted


def _download(requirement: str, place: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(place), requirement], check=True)


def beside(suite: Suite) -> Path | None:
    return REQUIREMENTS.with_name(suite.beside) if suite.beside else None


def version(suite: Suite) -> str:
    if suite.name in chosen_versions:
        return chosen_versions[suite.name]
    for requirements in filter(None, (beside(suite), REQUIREMENTS)):
        for line in requirements.read_text(encoding="utf-8").splitlines():
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
        if suite.debian:
            debian.fetch(*suite.debian, archive)
        else:
            _download(name.replace("-", "=="), WORK)
    place = WORK / f"{sys.version_info.major}.{sys.version_info.minor}-{mode}"
    if not (place / name).exists():
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        if suite.package:
            shutil.rmtree(place / name / suite.package)
    return place / name


def environment() -> Path:
    """The interpreter of the virtual environment that the suites run in."""
    chosen = "".join(f"-{name}-{wanted}" for name, wanted in sorted(chosen_versions.items()))
    place = WORK / f"venv-{sys.version_info.major}.{sys.version_info.minor}{chosen}"
    stamp = place / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        # pip of this interpreter installs: not every distribution's Python can give a new environment its own.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
        for name, wanted in chosen_versions.items():
            subprocess.run([*pip, f"{name}=={wanted}"], check=True)
        shutil.copyfile(REQUIREMENTS, stamp)
    return place / "bin" / "python"


def added(suite: Suite) -> list[Path]:
    """The folder with what the suite has beside the virtual environment's packages, if anything."""
    requirements = beside(suite)
    if requirements is None:
        return []
    place = WORK / f"{sys.version_info.major}.{sys.version_info.minor}-{requirements.stem}"
    stamp = place / "installed.txt"
    # They may name one another.
    pinned = "".join(file.read_text(encoding="utf-8") for file in sorted(REQUIREMENTS.parent.glob("upstream-*.txt")))
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != pinned:
        shutil.rmtree(place, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        stamp.write_text(pinned, encoding="utf-8")
    return [place]


@contextlib.contextmanager
def servers(arguments: tuple[str, ...]) -> Iterator[list[str]]:
    """The arguments, with the address of a redis-server that runs meanwhile, if they name one."""
    if not any("{redis}" in argument for argument in arguments):
        yield list(arguments)
        return
    if (program := peers.missing("redis")) is not None:
        raise LookupError(f"it needs {program}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with peers.redis("--port", str(port), "--enable-debug-command", "local"):
        yield [argument.replace("{redis}", f"redis://127.0.0.1:{port}/0") for argument in arguments]


def run(suite: Suite, mode: str, workers: int, chosen: tuple[str, ...] = ()) -> dict[str, Any]:
    """What became of every test of the suite, or of those chosen, by test id.

    Raises LookupError if this machine cannot get the suite or what it needs.
    """
    directory = sources(suite, mode)
    interpreter = environment()
    plugins = WORK / "plugins"
    plugins.mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("plugin.py"), plugins / f"{PLUGIN}.py")
    # A few tests run once more leave the figures of the whole run in place.
    output_name = f"{directory.name}-chosen" if chosen else directory.name
    results = directory.with_name(f"{output_name}.json")
    results.unlink(missing_ok=True)
    paths = [str(plugins), str(Path(ferrio.__file__).parents[1]), *map(str, added(suite))]
    variables = {"UPSTREAM_MODE": mode, "UPSTREAM_RESULTS": str(results), "PYTHONPATH": os.pathsep.join(paths)}
    variables |= dict(suite.variables)
    pytest = [str(interpreter), "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider"]
    pytest += ["-n", "0" if suite.alone else str(workers)]
    pytest += ["-o", "addopts=", "-o", "faulthandler_timeout=0", f"--timeout={TIME_LIMIT}"]
    with (
        directory.with_name(f"{output_name}.txt").open("w", encoding="utf-8") as output,
        servers(suite.arguments) as arguments,
    ):
        # What is chosen replaces the folder that the arguments end with.
        pytest += [argument for argument in arguments if not (chosen and argument.startswith(TESTS))]
        pytest += chosen
        subprocess.run(pytest, cwd=directory, env=os.environ | variables, stdout=output, stderr=output, check=False)
    if not results.exists():
        raise RuntimeError(f"the suite did not run: see {output.name}")
    outcomes: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return outcomes
