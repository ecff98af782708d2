"""Python's asyncio in Rust.

Every public name of asyncio is here too, so `import ferrio as asyncio` works. The names below that ferrio brings
itself take the place of asyncio's; all others are asyncio's own objects, so that code which uses both sees one.
"""

import asyncio as _asyncio
from typing import Any as _Any

from ferrio._ferrio import EventLoop, __version__ as __version__, new_event_loop
from ferrio._install import install, uninstall
from ferrio._natives import NATIVES as _NATIVES
from ferrio._runners import run

__all__ = ["EventLoop", "EventLoopPolicy", "install", "new_event_loop", "run", "uninstall"]

globals().update(_NATIVES)
__all__ += _NATIVES

_asyncios = {name: getattr(_asyncio, name) for name in _asyncio.__all__ if name not in __all__}
globals().update(_asyncios)
__all__ += list(_asyncios)


def __getattr__(name: str) -> _Any:
    """What is made on demand: the policy, which later Pythons lack, and asyncio's submodules and deprecated names."""
    if name == "EventLoopPolicy":
        from ferrio._policies import EventLoopPolicy

        return EventLoopPolicy
    if not name.startswith("__"):
        try:
            return getattr(_asyncio, name)
        except AttributeError:
            pass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
