"""Makes uvicorn's `--loop auto`, its default, mean ferrio.

With "auto" uvicorn chooses uvloop or asyncio's selector loop by name, bypassing everything that install() replaces.
uvicorn may not be installed or never be imported, so ferrio changes the module that makes the choice when it is
imported. Other choices of a user (`--loop asyncio`, `uvloop`, a factory) are in other modules.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ferrio._ferrio import EventLoop, new_event_loop

if TYPE_CHECKING:  # importing it takes longer than importing ferrio, and it is needed for types only
    from importlib.abc import Loader

_MODULE = "uvicorn.loops.auto"


def _auto_loop_factory(use_subprocess: bool = False) -> Callable[[], EventLoop]:
    """What uvicorn calls for a loop since 0.36."""
    return new_event_loop


def _auto_loop_setup(use_subprocess: bool = False) -> None:
    """What older versions call to change the default loop. Here ferrio's is the default already."""


_CHOICES: dict[str, Any] = {"auto_loop_factory": _auto_loop_factory, "auto_loop_setup": _auto_loop_setup}


def choose_ferrio() -> None:
    """Makes "auto" mean ferrio from now on, in this process; calling it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds one module by the other finders, and wraps its loader in `_ChangingLoader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Finder) else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ChangingLoader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _ChangingLoader:
    """Loads by another loader, which is the only one visible afterwards, and puts ferrio's choice into the module."""

    def __init__(self, loader: "Loader") -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader  # type: ignore[assignment, unused-ignore] # the typeshed of 3.15 asks for another type
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        # A uvicorn that has neither chooses a loop itself, which _other_loops reports.
        for name in _CHOICES.keys() & vars(module).keys():
            setattr(module, name, _CHOICES[name])
