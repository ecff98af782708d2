"""Runs one test module in a child process, however badly the child ends, and judges what came of it.

A crash or a hang becomes the outcome of the test that was running; the child is then started again for the tests
after it.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable

from .child import STOCK, matcher

HERE = pathlib.Path(__file__).parent
FERRIO = "ferrio:new_event_loop"
SECONDS_PER_TEST = 30
SECONDS_PER_MODULE = 300
MOST_RESTARTS = 25


@dataclasses.dataclass
class Outcome:
    what: str  # passed, skipped, failed, crashed, hung
    detail: str = ""
    seconds: float = 0


@dataclasses.dataclass
class Verdict:
    """What a module's tests did; `faults` are those that stock asyncio passes and the loop does not."""

    module: str
    outcomes: dict[str, Outcome]
    faults: dict[str, Outcome]
    seconds: float

    @property
    def passed(self) -> int:
        return sum(outcome.what == "passed" for outcome in self.outcomes.values())


def excused() -> dict[str, str]:
    """Pattern of test names -> reason, from inapplicable.toml, for the running version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    entries = tomllib.loads((HERE / "inapplicable.toml").read_text())["inapplicable"]
    entries = [entry for entry in entries if version in entry.get("pythons", [version])]
    return {pattern: entry["reason"] for entry in entries for pattern in entry["tests"]}


def modules() -> list[str]:
    """Names of the interpreter's test modules; an empty list where the interpreter comes without its tests."""
    try:
        import test.test_asyncio as package
    except ImportError:
        return []
    names = (path.stem for path in pathlib.Path(package.__path__[0]).glob("test_*.py"))
    return sorted(name for name in names if "windows" not in name and "proactor" not in name)


def judge(module: str, loop: str = FERRIO, only: Iterable[str] = ("*",), skip: Iterable[str] | None = None) -> Verdict:
    began = time.monotonic()
    outcomes = run(module, loop, only, excused() if skip is None else skip)
    suspects = {name: outcome for name, outcome in outcomes.items() if outcome.what != "passed"}
    faults = {}
    if suspects and loop != STOCK:
        reference = run(module, STOCK, ["*"] if _whole_module(suspects) else suspects, ())
        faults = {
            name: outcome
            for name, outcome in suspects.items()
            if name not in reference or reference[name].what == "passed"
        }
    return Verdict(module, outcomes, faults, time.monotonic() - began)


def _whole_module(names: Iterable[str]) -> bool:
    return any(not name.startswith("test_") for name in names)


def run(module: str, loop: str, only: Iterable[str], skip: Iterable[str]) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    deadline = time.monotonic() + SECONDS_PER_MODULE
    with tempfile.TemporaryDirectory() as directory:
        report, selection = os.path.join(directory, "report"), os.path.join(directory, "selection")
        for _ in range(MOST_RESTARTS):
            pathlib.Path(report).write_text("")
            pathlib.Path(selection).write_text(json.dumps({"only": list(only), "skip": [*skip, *outcomes]}))
            command = [sys.executable, "-X", "faulthandler", "-m", f"{__package__}.child"]
            command += [loop, module, report, selection, "--seconds-per-test", str(SECONDS_PER_TEST)]
            output = _run_to_its_end(command, max(5, deadline - time.monotonic()))
            running, finished = _read(report, outcomes)
            if finished:
                return outcomes
            end = Outcome("hung" if output is None or "Timeout (" in output else "crashed", output or "")
            if running is None or (end.what == "hung" and output is None):
                outcomes[running or f"<{module}>"] = end
                return outcomes
            outcomes[running] = end
    outcomes[f"<{module}>"] = Outcome("crashed", f"given up after {MOST_RESTARTS} restarts")
    return outcomes


def _run_to_its_end(command: list[str], seconds: float) -> str | None:
    """Output of the command, None if it had to be stopped. Nothing of its session survives."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=HERE.parent.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return output.read()[-4000:]


def _read(report: str, outcomes: dict[str, Outcome]) -> tuple[str | None, bool]:
    running, finished = None, False
    with open(report) as lines:
        for line in lines:
            if not line.endswith("\n"):
                break  # the child went down while it wrote
            event = json.loads(line)
            running = event.get("started")
            finished = finished or "finished" in event
            if "test" in event:
                outcomes[event["test"]] = Outcome(event["outcome"], event["detail"], event["seconds"])
    return running, finished


def needless(verdicts: Iterable[Verdict]) -> list[str]:
    """Excuses without a fault: of the tests they name, stock asyncio passes none that the loop does not."""
    faults = [name for verdict in verdicts for name in verdict.faults]
    return [pattern for pattern in excused() if not any(map(matcher([pattern]).match, faults))]
