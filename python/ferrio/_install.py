"""Puts ferrio's loop and classes in asyncio's place, and takes that back.

Every default loop comes from the `_loop_factory` of asyncio's default policy class: `asyncio.run`, `asyncio.Runner`
and `asyncio.new_event_loop` ask the policy, those imported by name earlier too. So that attribute is what changes,
along with the alias `asyncio.EventLoop` and a foreign policy in force. Loops that exist stay what they are, and a
loop class or factory that a program names itself is respected.

Classes and functions of ferrio's take asyncio's place in asyncio and in every submodule that holds the same object
under any name, save the names that say which of asyncio's own implementations they mean (`_CTask`, `_PyTask`, ...).
"""

import asyncio
import re
import sys
import threading
from dataclasses import dataclass
from typing import Any

from ferrio import _sync, _tasks
from ferrio._ferrio import EventLoop

_DefaultEventLoopPolicy = asyncio.unix_events._UnixDefaultEventLoopPolicy


@dataclass(frozen=True)
class _Replacement:
    """An attribute, what ferrio put there and what was there before."""

    owner: Any
    name: str
    ours: Any
    theirs: Any


# What asyncio calls its implementations in C and in Python when it tells them apart.
_IMPLEMENTATION = re.compile("_(c|py|C|Py)(_|[A-Z])")

_lock = threading.Lock()
# Empty when not installed.
_replacements: list[_Replacement] = []


def install() -> None:
    """Make asyncio's default loop, tasks and futures ferrio's, for the whole process.

    From then on asyncio.run, asyncio.Runner, asyncio.new_event_loop and asyncio.EventLoop give ferrio loops, and
    asyncio.Task and asyncio.Future are ferrio's. A policy of another library that is in force gives way; one that is
    set afterwards is respected. What other modules took from asyncio by name before stays asyncio's and works with
    ferrio's as before. Calling it again changes nothing.
    """
    with _lock:
        if _replacements:
            return
        _replace(_DefaultEventLoopPolicy, "_loop_factory", EventLoop)
        for module in (asyncio, asyncio.unix_events):
            if hasattr(module, "EventLoop"):  # from 3.13 on
                _replace(module, "EventLoop", EventLoop)
        _replace_everywhere([*_tasks.replacements(), *_sync.replacements()])
        # Not get_event_loop_policy(): it would make a policy where there is none, and warns from 3.14 on.
        if not _makes_our_loops(vars(asyncio.events)["_event_loop_policy"]):
            _replace(asyncio.events, "_event_loop_policy", _DefaultEventLoopPolicy())


def uninstall() -> None:
    """Put back what install() replaced.

    What others have put there since then stays. Without install() before it, it does nothing.
    """
    with _lock:
        while _replacements:
            replacement = _replacements.pop()
            if getattr(replacement.owner, replacement.name) is replacement.ours:
                setattr(replacement.owner, replacement.name, replacement.theirs)


def _replace(owner: Any, name: str, ours: Any) -> None:
    _replacements.append(_Replacement(owner, name, ours, getattr(owner, name)))
    setattr(owner, name, ours)


def _replace_everywhere(pairs: list[tuple[Any, Any]]) -> None:
    """Puts ours in place of asyncio's object, for each pair of them, in all of asyncio's modules."""
    ours_by_identity = {id(theirs): ours for theirs, ours in pairs}
    for module_name, module in list(sys.modules.items()):
        if module_name != "asyncio" and not module_name.startswith("asyncio."):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in ours_by_identity and not _IMPLEMENTATION.match(name):
                _replace(module, name, ours_by_identity[id(value)])


def _makes_our_loops(policy: Any) -> bool:
    """Whether the policy in force, if any, hands on what the default policy class now makes."""
    return policy is None or (
        getattr(policy, "_loop_factory", None) is EventLoop
        and type(policy).new_event_loop is _DefaultEventLoopPolicy.new_event_loop
    )
