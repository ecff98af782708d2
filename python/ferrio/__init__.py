"""Python's asyncio in Rust.

Every public name of asyncio is here too, so `import ferrio as asyncio` works. The names below that ferrio brings
itself take the place of asyncio's; all others are asyncio's own objects, so that code which uses both sees one.
"""

# This comes first: outside the main interpreter no other part of ferrio may be loaded.
from ferrio import _main_interpreter as _main_interpreter  # isort: skip

import asyncio as _asyncio
from typing import Any as _Any

from ferrio import _views as _views
from ferrio._anyio import anyio_status
from ferrio._ferrio import (
    EventLoop,
    __version__ as __version__,
    allow_nested_runs,
    new_event_loop,
    run_on_ferrio as run,
)
from ferrio._install import install, uninstall
from ferrio._natives import NATIVES as _NATIVES

__all__ = [
    "EventLoop",
    "EventLoopPolicy",
    "allow_nested_runs",
    "anyio_status",
    "install",
    "new_event_loop",
    "run",
    "uninstall",
]

# `run` is excluded: install() uses the one in NATIVES to replace asyncio's, which takes no factory on 3.11.
_natives = {name: native for name, native in _NATIVES.items() if name not in __all__}
globals().update(_natives)
__all__ += _natives

_asyncios = {name: getattr(_asyncio, name) for name in _asyncio.__all__ if name not in __all__}
globals().update(_asyncios)
__all__ += list(_asyncios)


def __getattr__(name: str) -> _Any:
    """Names resolved on demand: the policy, which later Pythons lack, and asyncio's submodules and deprecated names."""
    if name == "EventLoopPolicy":
        from ferrio._policies import EventLoopPolicy

        return EventLoopPolicy
    if name == "inspect":
        from importlib import import_module

        return import_module("ferrio.inspect")
    if not name.startswith("__"):
        try:
            return getattr(_asyncio, name)
        except AttributeError:
            pass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if _views.is_wanted():
    _views.start_if_wanted()
