"""Where tasks stand, in words: file and line of the innermost frame that they wait in."""

import asyncio
import os
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import ferrio

# Frames in here say nothing about the program.
_MACHINERY = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (asyncio, ferrio))

_SIMULATION = os.path.dirname(__file__) + os.sep


def is_of_program(task: "asyncio.Task[Any]") -> bool:
    """Whether it is the program's own; the simulation has one for each child and each program of another host."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is None or not code.co_filename.startswith(_SIMULATION)


def place_of_task(task: "asyncio.Task[Any]") -> str:
    """`file:line` where a task waits, or where its function begins if it has not started or has ended."""
    coroutine: Any = task.get_coro()
    frame: FrameType | None = None
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    while coroutine is not None:
        inner = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if inner is not None and (frame is None or not inner.f_code.co_filename.startswith(_MACHINERY)):
            frame = inner
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    if frame is not None:
        return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code is not None else "?"


def place_of_caller() -> str:
    """`file:line` of the program's code that runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
        frame = frame.f_back
    if frame is None:
        return "?"
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def name_of_task(task: "asyncio.Task[Any]") -> str:
    """The task's name, and its function if the name says nothing."""
    coroutine = task.get_coro()
    function = getattr(coroutine, "__qualname__", type(coroutine).__name__).replace("<locals>.", "")
    return f"{task.get_name()} ({function})"


def described(task: "asyncio.Task[Any]") -> str:
    """A task's name, its function and where that is, for somebody who does not have the task."""
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    where = f" at {os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
    return f"{name_of_task(task)}{where}"


def waiting_tasks(tasks: Iterable["asyncio.Task[Any]"]) -> list[str]:
    """A line for each task: its name, its place and what it waits for."""
    lines = []
    for task in sorted(tasks, key=lambda task: task.get_name()):
        waiter = getattr(task, "_fut_waiter", None)
        what = "is not waiting" if waiter is None else f"waits for {waiter!r}"
        lines.append(f"{name_of_task(task)} at {place_of_task(task)} {what}")
    return lines


def describe_handle(handle: Any, tasks: Iterable["asyncio.Task[Any]"]) -> str:
    """What a timer does: whose sleep it ends, or the callback."""
    callback = getattr(handle, "_callback", None)
    arguments = getattr(handle, "_args", None) or ()
    candidates = [callback, getattr(callback, "__self__", None), *arguments]
    for task in tasks:
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is not None and any(candidate is waiter for candidate in candidates):
            return f"the timer of {name_of_task(task)} at {place_of_task(task)}"
    owner = getattr(callback, "__self__", callback)
    timed: Any = getattr(owner, "_task", None)
    if isinstance(timed, asyncio.Task):
        return f"the timeout of {name_of_task(timed)} at {place_of_task(timed)}"
    name = getattr(callback, "__qualname__", None) or repr(callback)
    code = getattr(callback, "__code__", None)
    where = f" at {os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
    return f"the timer that calls {name.replace('<locals>.', '')}{where}"
