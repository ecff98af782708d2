"""The views of the command line: `ferrio list`, `ps`, `tree`, `why` and the others of `VIEWS`."""

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from ferrio._views import VIEWS
from ferrio.inspect import _text, _text_io, _top_command, _trace_command, _watch
from ferrio.inspect._blocked import one_line, stack_text
from ferrio.inspect._chains import Index, chain_of, roots
from ferrio.inspect._client import Failed, end_inspection_of, metrics_of, processes, snapshot_of
from ferrio.inspect._exports import prometheus_lines
from ferrio.inspect._model import Snapshot
from ferrio.inspect._outside import circles
from ferrio.inspect._printable import printable


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        print(f"{self.prog}: {printable(message)}", file=sys.stderr)
        sys.exit(2)


def main(view: str, arguments: list[str]) -> None:
    """Shows a view."""
    options = _parser(view).parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Not every locale has all letters of all programs.
            stream.reconfigure(errors="backslashreplace")
    try:
        # Whoever has a socket may answer anything: no line is shown to a terminal as it is. Metrics are for machines.
        for line in _lines(view, options):
            print(line if view == "metrics" else printable(line), flush=view in ("watch", "console"))
        sys.stdout.flush()
    except Failed as error:
        _fail(str(error))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        _fail(f"what the process has answered is not understood ({type(error).__name__}: {error})")
    except KeyboardInterrupt:
        # The way to end it, also in the moment before it is ready.
        if view != "console":
            raise
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _fail(text: str) -> NoReturn:
    """Says what is wrong, in one line."""
    print(f"ferrio: {printable(text)}", file=sys.stderr)
    sys.exit(2)


def _parser(view: str) -> _Parser:
    parser = _Parser(prog=f"ferrio {view}", description=f"Shows {VIEWS[view][1]}.", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON, in one line")
    if view != "list":
        parser.add_argument(
            "process", nargs="?", metavar="PID", help="a process, or the path of its socket; the only one there is"
        )
    if view in ("ps", "tree", "stacks"):
        parser.add_argument(
            "--attach",
            action="store_true",
            help="start inspection in a process that was started without it, instead of reading it from outside",
        )
    if view == "watch":
        _watch.add_options(parser)
    if view == "trace":
        _trace_command.add_options(parser)
    if view == "why":
        parser.add_argument("task", nargs="?", metavar="TASK", help="the name or the identifier of a task")
    if view == "top":
        _top_command.add_options(parser)
    if view == "console":
        from ferrio.inspect._console import _command as console

        console.add_options(parser)
    return parser


def _lines(view: str, options: argparse.Namespace) -> Iterator[str]:
    if view == "list":
        yield from _list(options.json)
        return
    if view == "top":
        yield from _top_command.lines(options)
        return
    if view == "watch":
        yield from _watch.lines(options)
        return
    if view == "trace":
        yield from _trace_command.lines(options)
        return
    if view == "console":
        from ferrio.inspect._console import _command as console

        yield from console.lines(options)
        return
    if view == "metrics":
        found = metrics_of(options.process)
        yield from [json.dumps(found)] if options.json else prometheus_lines(found)
        return
    if view == "detach":
        end_inspection_of(options.process)
        yield from [json.dumps({"detached": int(options.process)})] if options.json else ()
        return
    snapshot = snapshot_of(options.process, may_attach=view in ("why", "io", "timers") or options.attach)
    if view == "why":
        yield from _why(snapshot, options.task, options.json)
    elif options.json:
        yield json.dumps(snapshot)
    else:
        yield from _partial(snapshot)
        yield from _TEXTS[view](snapshot)


_TEXTS = {
    "ps": _text.ps,
    "tree": _text.tree,
    "stacks": _text.stacks,
    "io": _text_io.io,
    "timers": _text_io.timers,
}


def _list(as_json: bool) -> Iterator[str]:
    found = [{**hello, "socket": os.fspath(path)} for hello, path in processes()]
    if as_json:
        yield json.dumps(found)
        return
    for each in found:
        yield f"{each['pid']}  {_text.printable(each['program'])}  Python {each['python']}  {each['socket']}"


def _partial(snapshot: Snapshot) -> Iterator[str]:
    """What is shown if the process could not answer itself."""
    if snapshot["partial"]:
        yield f"{'from outside' if snapshot.get('outside') else 'partial'}: {snapshot['reason']}"
        if snapshot.get("outside"):
            yield from (f"circle of awaits: {_text.circle(names)}" for names in circles(snapshot))
        for thread in snapshot.get("threads", ()):
            state = _STATES.get(thread["state"], thread["state"])
            yield f"    thread {thread['number']} {_text.printable(thread['name'])}: {state}"
        for block in snapshot["blocks"]:
            yield one_line(block)
            yield from (f"    {line}" for line in stack_text(block))


_STATES = {"R": "running", "S": "waiting", "D": "waiting for the disk", "T": "stopped", "t": "stopped by a debugger"}


def _why(snapshot: Snapshot, name: str | None, as_json: bool) -> Iterator[str]:
    index = Index(snapshot)
    tasks = None
    if name is not None and not snapshot["partial"]:
        tasks = index.find(name)
        if not tasks:
            raise Failed(f"there is no task {name!r} in process {snapshot['pid']}")
    if as_json:
        chains = [chain_of(index, task) for task in (roots(index) if tasks is None else tasks)]
        found = {name: snapshot[name] for name in ("pid", "deadlocks", "lints")}
        yield json.dumps({**found, "chains": chains})
        return
    yield from _partial(snapshot)
    yield from _text.why(snapshot, tasks)
