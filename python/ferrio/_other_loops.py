"""Reports, once in a process, that another loop runs although the program was started on ferrio.

ferrio keeps a loop that the program or its user names. The user of `python -m ferrio` should know this, and which code
chose the loop: every loop calls `asyncio._set_running_loop` when it begins to run.
"""

import asyncio
import sys
from types import FrameType
from typing import Any

from ferrio._ferrio import EventLoop

# Packages that run a loop for their caller: their frames do not show which code chose it.
_BETWEEN = {"asyncio", "ferrio", "uvloop", "contextlib", "threading", "concurrent", "runpy", "importlib"}
# The switch that leaves the choice to ferrio, for programs that have one.
_SWITCHES = {"uvicorn": "--loop auto"}


def watch() -> None:
    """Reports the first loop that is not ferrio's, then stops watching."""
    set_running_loop: Any = asyncio._set_running_loop
    watching = True

    def set_running_loop_watched(loop: Any, /) -> None:
        nonlocal watching
        set_running_loop(loop)
        if watching and loop is not None and not isinstance(loop, EventLoop):
            watching = False
            # Other code may have copied this function by now; functions that it put there itself stay.
            _replace(set_running_loop_watched, set_running_loop)
            _speak_of(loop, sys._getframe(1))

    _replace(set_running_loop, set_running_loop_watched)


def _replace(there: Any, new: Any) -> None:
    for module in (asyncio, asyncio.events):
        if vars(module).get("_set_running_loop") is there:
            module._set_running_loop = new  # type: ignore[attr-defined]


def _speak_of(loop: Any, frame: FrameType | None) -> None:
    """Prints one line, if there is a standard error."""
    kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
    who, switch = "the program", "give no loop_factory and set no policy, or name ferrio.new_event_loop"
    if (chooser := _chooser(frame)) is not None:
        package = str(chooser.f_globals.get("__name__")).partition(".")[0]
        switch = f"use {_SWITCHES[package]}" if package in _SWITCHES else switch
        who = f"{who if package == '__main__' else package} ({chooser.f_code.co_filename}:{chooser.f_lineno})"
    if sys.stderr is not None:
        text = f"ferrio: {who} runs on {kind}, a loop of its own choice; to run on ferrio, {switch}"
        print(f"{text} (python -m ferrio --quiet says nothing)", file=sys.stderr, flush=True)


def _chooser(frame: FrameType | None) -> FrameType | None:
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        # `__main__` is ferrio's command line at first, then the program.
        ours = frame.f_globals.get("__package__") == "ferrio"
        if not ours and name.partition(".")[0] not in _BETWEEN and name != "uvicorn._compat":
            return frame
        frame = frame.f_back
    return None
