"""`ferrio trace PID -o FILE -d SECONDS`: the trace of a process, of some seconds from now on or of what is recorded.

The process keeps its flight recorder in any case, so it is asked twice: for its clock, and at the end for the trace.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from ferrio import _views
from ferrio.inspect._client import Failed, ask, find
from ferrio.inspect._trace import made_from, write


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write; trace-PID.json if not given")
    parser.add_argument(
        "-d",
        "--duration",
        type=_duration,
        metavar="SECONDS",
        default=0.0,
        help="trace so long, from now on; 0, the default, gives what is recorded already",
    )


def _duration(text: str) -> float:
    try:
        return 0.0 if text == "0" else _views.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def lines(options: argparse.Namespace) -> Iterator[str]:
    """Writes the file, and says so; or gives the trace itself as JSON."""
    path = find(options.process)
    since = 0
    if options.duration:
        since = _answer(ask(path, {"view": "trace", "mark": True}), "clock")
        time.sleep(options.duration)
    answer = ask(path, {"view": "trace", "since": since})
    found = _answer(answer, "traceEvents")
    made = made_from(found)
    if options.json:
        yield json.dumps(made)
        return
    file = options.output or f"trace-{answer['pid']}.json"
    try:
        write(made, file)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from None
    yield f"{len(found)} events in {file}: open it at https://ui.perfetto.dev or in chrome://tracing"


def _answer(answer: dict[str, Any], name: str) -> Any:
    if name not in answer:
        raise Failed("the process has no trace to show: C code keeps its interpreter's lock")
    return answer[name]
