"""Puts ferrio's loop, classes and functions in asyncio's place, and reverts that.

Every default loop comes from the `_loop_factory` of asyncio's default policy class: `asyncio.run`, `asyncio.Runner`
and `asyncio.new_event_loop` ask the policy, also where a program imported them by name earlier. So install() changes
that attribute, the alias `asyncio.EventLoop`, and a foreign policy in force. Existing loops are not affected, and
ferrio keeps a loop class or factory that a program names itself.

ferrio's classes and functions replace asyncio's in asyncio and in every submodule that has the same object under any
name, except names that refer to one of asyncio's own implementations (`_CTask`, `_PyTask`, ...). asyncio keeps no
copies elsewhere, in class attributes or default arguments; a test looks for them.

anyio's asyncio backend gets ferrio's parts in the same way (`_anyio`), when it is imported.
"""

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from ferrio import _anyio
from ferrio._ferrio import EventLoop
from ferrio._imports import no_longer_when_imported, when_imported
from ferrio._natives import NATIVES

_DefaultEventLoopPolicy = asyncio.unix_events._UnixDefaultEventLoopPolicy

# Stands for the previous value of an attribute that did not exist.
_NOTHING = object()

# Prefixes by which asyncio distinguishes its implementations in C and in Python.
_IMPLEMENTATION = ("_c_", "_py_", "_CFuture", "_CTask", "_PyFuture", "_PyTask")


class _Replacement(NamedTuple):
    """An attribute, the value that ferrio set and the previous value."""

    owner: Any
    name: str
    ours: Any
    theirs: Any


def _asyncio_modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if (name == "asyncio" or name.startswith("asyncio.")) and isinstance(module, ModuleType):
            yield module


def _stock() -> dict[str, Any]:
    """asyncio's own objects for the names that ferrio replaces; some exist in submodules only."""
    stock: dict[str, Any] = {}
    for module in _asyncio_modules():
        for name in NATIVES.keys() & vars(module).keys():
            stock.setdefault(name, vars(module)[name])
    return stock


_STOCK = _stock()

# Re-entrant: a signal handler or a finalizer may call install() or uninstall() while one of them runs.
_lock = threading.RLock()
# Empty when not installed.
_replacements: list[_Replacement] = []
# The modules in which install() has replaced names.
_seen: set[str] = set()


def install() -> None:
    """Make asyncio's default loop, tasks, futures and all else that ferrio brings ferrio's, for the whole process.

    From then on asyncio.run, asyncio.Runner, asyncio.new_event_loop and asyncio.EventLoop give ferrio loops, and
    asyncio.Task, asyncio.Future and the other names that ferrio brings are ferrio's, in asyncio and its submodules.
    What a program or a library took from asyncio by name before stays asyncio's and works with ferrio's; what it takes
    afterwards is ferrio's. So are loops, tasks and other objects that exist: they stay what they are.

    A policy of another library that is in force gives way, and so does what another library has put in asyncio under
    one of these names; what it sets afterwards is respected.

    It may be called at any time, from any thread and while loops run; calling it again changes nothing.
    """
    with _lock:
        if _replacements:
            return
        try:
            _replace_all()
        except BaseException:
            uninstall()
            raise


def uninstall() -> None:
    """Put back exactly what install() replaced.

    One call undoes any number of install(). What others have put in asyncio since then stays. Objects of ferrio's that
    exist go on working, and code that took ferrio's names from asyncio by name keeps them. Without install() before it,
    it does nothing.
    """
    with _lock:
        no_longer_when_imported(_anyio.MODULE, _replace_in_anyio)
        while _replacements:
            replacement = _replacements.pop()
            if vars(replacement.owner).get(replacement.name, _NOTHING) is not replacement.ours:
                continue
            if replacement.theirs is _NOTHING:
                delattr(replacement.owner, replacement.name)
            else:
                setattr(replacement.owner, replacement.name, replacement.theirs)
        if _seen:
            _clear_later_modules()
            _anyio.restore()
            _seen.clear()


def _replace_all() -> None:
    _replace(_DefaultEventLoopPolicy, "_loop_factory", EventLoop)
    for module in (asyncio, asyncio.unix_events):
        if hasattr(module, "EventLoop"):  # from 3.13 on
            _replace(module, "EventLoop", EventLoop)
    _replace_natives()
    # Not get_event_loop_policy(): it would create a policy if there is none, and warns from 3.14 on.
    if not _makes_our_loops(vars(asyncio.events)["_event_loop_policy"]):
        _replace(asyncio.events, "_event_loop_policy", _DefaultEventLoopPolicy())
    when_imported(_anyio.MODULE, _replace_in_anyio)
    if (imported := sys.modules.get(_anyio.MODULE)) is not None:
        _replace_in_anyio(imported)


def is_installed() -> bool:
    """Whether install() is in effect."""
    return bool(_replacements)


def _replace_in_anyio(module: ModuleType) -> None:
    """Replaces methods of anyio's asyncio backend, which has been imported."""
    with _lock:
        if _replacements:
            for owner, name, ours in _anyio.replacements(module):
                _replace(owner, name, ours)


def _replace(owner: Any, name: str, ours: Any) -> None:
    _replacements.append(_Replacement(owner, name, ours, vars(owner).get(name, _NOTHING)))
    setattr(owner, name, ours)


def _replace_natives() -> None:
    """Replaces asyncio's classes and functions by ferrio's in every asyncio module that has them."""
    ours_by_identity = {id(theirs): NATIVES[name] for name, theirs in _STOCK.items()}
    # Objects that another library has put there are replaced too.
    ours_by_identity |= {id(vars(asyncio)[name]): NATIVES[name] for name in _STOCK.keys() & vars(asyncio).keys()}
    for module in _asyncio_modules():
        _seen.add(module.__name__)
        for name, value in list(vars(module).items()):
            ours = ours_by_identity.get(id(value), value)
            if ours is not value and not name.startswith(_IMPLEMENTATION):
                _replace(module, name, ours)


def _clear_later_modules() -> None:
    """Restores asyncio's objects in its modules that were imported, with ferrio's objects, after install()."""
    stock_by_identity = {id(NATIVES[name]): theirs for name, theirs in _STOCK.items()}
    for module in _asyncio_modules():
        if module.__name__ not in _seen:
            for name, value in list(vars(module).items()):
                if id(value) in stock_by_identity:
                    setattr(module, name, stock_by_identity[id(value)])


def _makes_our_loops(policy: Any) -> bool:
    """Whether the policy in force, if any, creates loops as the default policy class now does."""
    return policy is None or (
        getattr(policy, "_loop_factory", None) is EventLoop
        and type(policy).new_event_loop is _DefaultEventLoopPolicy.new_event_loop
    )
