"""Changes a module right after it is imported, without importing it: most programs never do.

A finder of sys.meta_path finds the module by the other finders and wraps its loader, so that the loader and the spec
that the program sees afterwards are those of plain Python.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it takes longer than importing ferrio, and it is needed for types only
    from importlib.abc import Loader

Change = Callable[[ModuleType], None]


def when_imported(name: str, change: Change) -> None:
    """Calls `change` with the module of this name whenever it is imported; calling it again changes nothing."""
    if not any(isinstance(finder, _Finder) and finder.is_for(name, change) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(name, change))


def no_longer_when_imported(name: str, change: Change) -> None:
    """Takes back what when_imported() did with the same arguments."""
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not (isinstance(finder, _Finder) and finder.is_for(name, change))
    ]


class _Finder:
    """Finds one module by the other finders, and wraps its loader in `_ChangingLoader`."""

    def __init__(self, name: str, change: Change) -> None:
        self._name = name
        self._change = change

    def is_for(self, name: str, change: Change) -> bool:
        return self._name == name and self._change is change

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Finder) else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ChangingLoader(spec.loader, self._change)  # type: ignore[assignment]
                return spec
        return None


class _ChangingLoader:
    """Loads by another loader, which is the only one visible afterwards, and changes the module."""

    def __init__(self, loader: "Loader", change: Change) -> None:
        self._loader = loader
        self._change = change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader  # type: ignore[assignment, unused-ignore] # the typeshed of 3.15 asks for another type
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._change(module)
