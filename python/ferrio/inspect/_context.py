"""Context variables whose values are shown: those that the program names, no others.

A value is shown if it is of a plain type, and cut if it is long; of other values the type's name is shown, because
turning them into text would run code of the program.
"""

import sys
import uuid
from collections.abc import Iterable
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any

from ferrio.inspect._model import ContextValue
from ferrio.inspect._objects import attribute, class_name, mro_of, referents, type_name

Named = ContextVar[Any] | str

# How much of a text or of bytes is shown, how large integers may be, and how many variables may be named.
_LONGEST = 200
_MOST_BITS = 256
_MOST_NAMED = 50

_ABSENT = object()
_namespace_of: Any = ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]

# What was asked for, and the variable, which is None until its module has it.
_wanted: list[tuple[str, ContextVar[Any] | None]] = []


def show(variables: Iterable[Named]) -> None:
    """Shows these variables from now on: themselves, or as "module:variable". Checked by `check` before."""
    _wanted[:] = [(each, None) if type(each) is str else (each.name, each) for each in variables]  # type: ignore[union-attr,misc]


def check(variables: Iterable[Named]) -> list[Named]:
    """The variables as a list. Raises TypeError or ValueError if one of them is none."""
    if isinstance(variables, (str, ContextVar)):
        raise TypeError("context variables are given as a list")
    found = list(variables)
    for each in found:
        if type(each) is str:
            module, _, name = each.partition(":")
            if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
                raise ValueError(f"{each!r} is not of the form 'module:variable'")
        elif type(each) is not ContextVar:
            raise TypeError(f"a ContextVar or 'module:variable' is needed, not {type(each).__name__}")
    if len(found) > _MOST_NAMED:
        raise ValueError(f"at most {_MOST_NAMED} context variables are shown, not {len(found)}")
    return found


def forget() -> None:
    """Shows no variables."""
    _wanted.clear()


def values_of(task: Any) -> list[ContextValue]:
    """The named variables that are set in a task's context."""
    if not _wanted:
        return []
    context = _context_of(task)
    found = []
    for name, variable in list(_wanted):
        variable = _variable(name) if variable is None else variable
        value = _ABSENT if context is None or variable is None else context.get(variable, _ABSENT)
        if value is _ABSENT:
            continue
        found.append(ContextValue(name=name, type=type_name(value), value=_shown(value)))
    return found


def _variable(name: str) -> ContextVar[Any] | None:
    """What "module:variable" names, if that module is imported and has it."""
    module, _, attribute_name = name.partition(":")
    found = sys.modules.get(module)
    if ModuleType not in mro_of(type(found)):
        return None
    namespace = _namespace_of(found)
    found = namespace.get(attribute_name) if type(namespace) is dict else None
    return found if type(found) is ContextVar else None


def _context_of(task: Any) -> Context | None:
    context = attribute(task, "_context")
    for kind in mro_of(type(task)):
        if context is None and class_name(kind) in _TASKS and "get_context" in kind.__dict__:
            context = kind.__dict__["get_context"](task)
    if context is None:
        # Before 3.12 tasks do not tell. They refer to contexts of callbacks as well: ferrio's before their own,
        # the C module's after it.
        contexts = [each for each in referents(task) if type(each) is Context]
        is_ferrios = any(class_name(kind) == "ferrio.Task" for kind in mro_of(type(task)))
        context = (contexts[-1] if is_ferrios else contexts[0]) if contexts else None
    return context if type(context) is Context else None


_TASKS = ("_asyncio.Task", "asyncio.tasks.Task", "ferrio.Task")


def _shown(value: object) -> str | None:
    """A plain value as text."""
    if type(value) is str or type(value) is bytes:
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}…"
    if type(value) is int:
        return repr(value) if value.bit_length() <= _MOST_BITS else None
    if value is None or type(value) in (bool, float):
        return repr(value)
    if type(value) is uuid.UUID:
        number = attribute(value, "int")
        return repr(str(uuid.UUID(int=number))) if type(number) is int and 0 <= number < 1 << 128 else None
    return None
