"""The stacks of suspended coroutines and of threads, as names, files and lines.

A chain of coroutines is followed from the one that a task drives to the innermost: through Python's coroutines,
generators and asynchronous generators, and through the coroutines of ferrio and ferrio-bridge, which have a name but no
Python frame. Other objects, such as compiled code's coroutines that do not say what they wait for, end it.
"""

import asyncio
import importlib
import os
import sys
from collections.abc import Iterator
from threading import get_ident
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

from ferrio import _ferrio
from ferrio._ferrio import _thread_frames
from ferrio.inspect._model import Frame
from ferrio.inspect._objects import is_future, referents, shown, type_name

# Longer stacks are cut, in the middle of a recursion most likely.
LONGEST = 200

# Where asyncio's own files are.
ASYNCIO = os.path.join(os.path.dirname(asyncio.events.AbstractEventLoop.close.__code__.co_filename), "")

# The type of ferrio's coroutines.
_unstarted = _ferrio.sleep(0)
NATIVE_COROUTINE = type(_unstarted)
_unstarted.close()
del _unstarted


def _is_rust(kind: type) -> bool:
    """Whether these are coroutines of ferrio-bridge, of which each extension has a type of its own."""
    return "__ferrio_bridge__" in kind.__dict__


def chain(coroutine: Any) -> Iterator[Any]:
    """The coroutines from the outermost to the innermost."""
    for _ in range(LONGEST):
        if coroutine is None or is_future(coroutine):
            return
        yield coroutine
        coroutine = awaited(coroutine)


def awaited(coroutine: Any) -> Any:
    """What a coroutine or an iterator of one waits for: another one, a future, or None."""
    kind = type(coroutine)
    if kind is CoroutineType or kind is NATIVE_COROUTINE or _is_rust(kind):
        return coroutine.cr_await
    if kind is GeneratorType:
        return coroutine.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return coroutine.ag_await
    # What `__anext__`, `asend()`, `athrow()` and `coroutine.__await__()` give, which name what they drive only so.
    if kind.__module__ == "builtins":
        for each in referents(coroutine):
            if type(each) in (AsyncGeneratorType, CoroutineType, GeneratorType, NATIVE_COROUTINE):
                return each
    return None


def is_running(coroutine: Any) -> bool:
    kind = type(coroutine)
    if kind is CoroutineType or kind is NATIVE_COROUTINE or _is_rust(kind):
        return bool(coroutine.cr_running)
    return kind is GeneratorType and bool(coroutine.gi_running)


def frame_of(coroutine: Any) -> FrameType | None:
    """The Python frame, if there is one."""
    kind = type(coroutine)
    if kind is CoroutineType:
        return coroutine.cr_frame  # type: ignore[no-any-return]
    if kind is GeneratorType:
        return coroutine.gi_frame  # type: ignore[no-any-return]
    if kind is AsyncGeneratorType:
        return coroutine.ag_frame  # type: ignore[no-any-return]
    return None


def name_of(coroutine: Any) -> str:
    """The qualified name of its function."""
    if is_shown(coroutine):
        return shown(coroutine.__qualname__)
    return type_name(coroutine)


def is_shown(coroutine: Any) -> bool:
    """Whether it is a function of its own, not the iterator of one."""
    kind = type(coroutine)
    return kind in (CoroutineType, GeneratorType, AsyncGeneratorType, NATIVE_COROUTINE) or _is_rust(kind)


def described(coroutine: Any) -> Frame:
    """The place at which a coroutine waits."""
    frame = frame_of(coroutine)
    if frame is None:
        return Frame(function=name_of(coroutine), file=None, line=None, asyncio=type(coroutine) is NATIVE_COROUTINE)
    return _frame(name_of(coroutine), frame)


def thread_stack(frame: FrameType | None, first: CodeType | None = None) -> list[Frame]:
    """The stack of a thread from its innermost frame on, outermost first; from the frame that runs `first` on, if that
    is there."""
    found: list[Frame] = []
    while frame is not None and len(found) < LONGEST:
        code = frame.f_code
        found.append(_frame(shown(code.co_qualname), frame))
        if code is first:
            break
        frame = frame.f_back
    found.reverse()
    return found


def without_own(frame: FrameType | None) -> FrameType | None:
    """The frame that called into this package, if the snapshot is taken in the very thread."""
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return frame


def _frame(function: str, frame: FrameType) -> Frame:
    file = shown(frame.f_code.co_filename)
    return Frame(function=function, file=file, line=frame.f_lineno, asyncio=is_of_asyncio(file))


def is_of_asyncio(file: str) -> bool:
    """Whether it is one of asyncio's own files."""
    return file.startswith(ASYNCIO)


# The module that lists interpreters, where it is not the one of 3.13 and later.
_INTERPRETERS = {(3, 11): None, (3, 12): "_xxsubinterpreters"}


def thread_frames() -> dict[int, FrameType]:
    """The innermost frame of each thread of this interpreter; of this one, that which called into this package.

    Beside other interpreters Python's own function would make frame objects for theirs, too. These run meanwhile if
    they have locks of their own, and free their frames as their own: the process crashes. A frame of our own that
    refers to itself would keep what it has looked at until the garbage collector runs.
    """
    frames = dict(_thread_frames()) if _has_other_interpreters() else sys._current_frames()
    frames.pop(get_ident(), None)
    caller = without_own(sys._getframe())
    return frames if caller is None else {**frames, get_ident(): caller}


def _has_other_interpreters() -> bool:
    # None has a lock or an allocator of its own before 3.12.
    name = _INTERPRETERS.get(sys.version_info[:2], "_interpreters")
    try:
        return name is not None and len(importlib.import_module(name).list_all()) > 1
    except ImportError:
        return False
