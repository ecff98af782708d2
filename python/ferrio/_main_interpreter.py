"""Raises ImportError outside the main interpreter.

The extension's state belongs to the process, so objects of one interpreter would reach another. The check comes before
the extension is loaded, because even loading part of it may do harm. asyncio keeps working in other interpreters.
"""

from importlib import import_module
from types import ModuleType


def interpreters() -> ModuleType | None:
    """The interpreter's own module about interpreters; None in a build that can have only one."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # the second before 3.13
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


# From 3.13 on these are pairs (identifier, origin of the interpreter). They are equal in the main interpreter only.
if (module := interpreters()) is not None and module.get_current() != module.get_main():
    raise ImportError("ferrio works in the main interpreter only; use asyncio in the others", name="ferrio")
