"""Makes uvicorn's `--loop auto`, its default, mean ferrio.

With "auto" uvicorn chooses uvloop or asyncio's selector loop by name, bypassing everything that install() replaces.
uvicorn may not be installed or never be imported, so ferrio changes the module that makes the choice when it is
imported. Other choices of a user (`--loop asyncio`, `uvloop`, a factory) are in other modules.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ferrio._ferrio import EventLoop, new_event_loop
from ferrio._imports import when_imported

_MODULE = "uvicorn.loops.auto"


def _auto_loop_factory(use_subprocess: bool = False) -> Callable[[], EventLoop]:
    """What uvicorn calls for a loop since 0.36."""
    return new_event_loop


def _auto_loop_setup(use_subprocess: bool = False) -> None:
    """What older versions call to change the default loop. Here ferrio's is the default already."""


_CHOICES: dict[str, Any] = {"auto_loop_factory": _auto_loop_factory, "auto_loop_setup": _auto_loop_setup}


def choose_ferrio() -> None:
    """Makes "auto" mean ferrio from now on, in this process; calling it again changes nothing."""
    when_imported(_MODULE, _put_choices)


def _put_choices(module: ModuleType) -> None:
    # A uvicorn that has neither chooses a loop itself, which _other_loops reports.
    for name in _CHOICES.keys() & vars(module).keys():
        setattr(module, name, _CHOICES[name])
