"""The threads that `threading` knows, and the program that runs, without a call of the program's code.

A subclass of `Thread` may have properties instead of the attributes, and anything may stand in `sys.argv`.
"""

import sys
import threading
from typing import Any

from ferrio.inspect._objects import attribute, shown


def names() -> dict[int, str]:
    """The names of threads by their numbers."""
    return {number: shown(attribute(thread, "_name")) for number, thread in _active()}


def native_names() -> dict[int, str]:
    """The same by the system's numbers."""
    natives = native_numbers()
    return {natives[number]: name for number, name in names().items() if number in natives}


def native_numbers() -> dict[int, int]:
    """The system's numbers of threads, as far as they are known, by their own."""
    found = ((number, attribute(thread, "_native_id")) for number, thread in _active())
    return {number: native for number, native in found if type(native) is int}


def program() -> str:
    """The name by which the program was called; empty if there is none."""
    arguments = getattr(sys, "argv", None)
    return shown(arguments[0]) if type(arguments) is list and arguments else ""


def _active() -> list[tuple[int, Any]]:
    return list(threading._active.items())  # type: ignore[attr-defined]
