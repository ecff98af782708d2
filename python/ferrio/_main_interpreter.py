"""Refuses to be imported anywhere but in the main interpreter.

The extension's state belongs to the process, so that objects of one interpreter would reach another. This is asked
before the extension is loaded, since loading it in part may already do harm. asyncio works there as it always does.
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


# From 3.13 on these are pairs of the identifier and where the interpreter comes from, equal in the main one alone.
if (module := interpreters()) is not None and module.get_current() != module.get_main():
    raise ImportError("ferrio works in the main interpreter only; use asyncio in the others", name="ferrio")
