"""Reports of blocks as text, and merged into flame graphs: lines of collapsed stacks, or a file for speedscope."""

import json
import re
from collections.abc import Iterator
from typing import Any

from ferrio.inspect._model import Block, Frame
from ferrio.inspect._text import context_text, place, printable

# Python's own files, and those of installed packages.
_INSTALLED = re.compile(r"/lib/python3\.\d+/|/(site|dist)-packages/|^<frozen")


def one_line(report: Block) -> str:
    """What has blocked the loop, and where."""
    lasted = f"{report['duration']:.3f} seconds"
    text = f"The loop was blocked for {lasted}" if report["ended"] else f"The loop has been blocked for {lasted}"
    text += f" by {culprit(report)}"
    if report["stack"]:
        text += f" at {place(where(report))}"
    return text + (f" (partial: {report['reason']})" if report["partial"] else "")


def culprit(report: Block) -> str:
    """The task, or that it was none."""
    if report["task"] is None:
        return "a callback"
    if report["task_name"] is None:
        return f"task {report['task']}"
    coroutine = "" if report["coroutine"] is None else f" ({printable(report['coroutine'])})"
    return f"task '{printable(report['task_name'])}'{coroutine}"


def where(report: Block) -> Frame | None:
    """The innermost function of the program's own, if there is one; else the innermost that has a file."""
    files = [frame for frame in reversed(report["stack"]) if frame["file"] is not None]
    own = (frame for frame in files if not _INSTALLED.search(frame["file"] or ""))
    return next(own, files[0] if files else None)


def stack_text(report: Block) -> Iterator[str]:
    """The stack, then who created the task and who awaits it."""
    if report["stack"]:
        yield "Stack (most recent call last):"
        yield from (f"  {place(frame)}" for frame in report["stack"])
    if report["context"]:
        yield f"Context: {context_text(report['context'])}"
    if (created := report["created"]) is not None:
        yield f"Created at {printable(created['function'])} ({printable(created['file'])}:{created['line']})"
    for awaiter in report["awaited_by"]:
        yield f"Awaited by task '{printable(awaiter['name'])}' at {place(awaiter['where'])}"


class Flame:
    """Stacks with the time for which each has blocked."""

    def __init__(self) -> None:
        self.weights: dict[tuple[str, ...], float] = {}
        self._last: dict[int, tuple[tuple[str, ...], float]] = {}

    def add(self, report: Block) -> None:
        """Counts the time since the last report of the same block: it goes to the stack that is seen at its end."""
        stack, before = self._last.pop(report["number"], ((), 0.0))
        if not report["ended"] or not stack:
            first = f"task {report['task_name']}" if report["task_name"] is not None else culprit(report)
            stack = (first, *(place(frame) for frame in report["stack"]))
        self.weights[stack] = self.weights.get(stack, 0.0) + max(report["duration"] - before, 0.0)
        if not report["ended"]:
            self._last[report["number"]] = (stack, report["duration"])

    def collapsed(self) -> Iterator[str]:
        """A line for each stack, outermost function first, with milliseconds: what flame graph programs read."""
        for stack, seconds in sorted(self.weights.items()):
            yield f"{';'.join(each.replace(';', ',') for each in stack)} {round(seconds * 1000)}"

    def speedscope(self, name: str) -> dict[str, Any]:
        """A file for speedscope.app."""
        frames: dict[str, int] = {}
        samples = [[frames.setdefault(each, len(frames)) for each in stack] for stack in self.weights]
        weights = list(self.weights.values())
        profile = {
            "type": "sampled",
            "name": name,
            "unit": "seconds",
            "startValue": 0,
            "endValue": sum(weights),
            "samples": samples,
            "weights": weights,
        }
        return {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "name": name,
            "exporter": "ferrio",
            "activeProfileIndex": 0,
            "shared": {"frames": [{"name": each} for each in frames]},
            "profiles": [profile],
        }

    def text(self, path: str, name: str) -> str:
        """What goes into a file of that name: speedscope's format if it ends in `.json`."""
        if path.endswith(".json"):
            return json.dumps(self.speedscope(name)) + "\n"
        return "".join(f"{line}\n" for line in self.collapsed())
