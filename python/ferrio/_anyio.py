"""Puts ferrio's parts in the place of anyio's on its asyncio backend, and reverts that.

anyio's functions and classes ask the class `AsyncIOBackend` for everything that depends on asyncio: `CancelScope`,
`create_task_group`, `Lock` and so on are methods of it. install() replaces methods of that class, so names that a
program imported from anyio before stay valid, and the function by which anyio's modules find the class. Each
replacement serves ferrio's loops and calls anyio's own on any other. Parts are known to behave as anyio's for some
versions; any other version is left alone.
"""

import os
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from ferrio import _ferrio

MODULE = "anyio._backends._asyncio"
FINDING = "anyio._core._eventloop"

# The first version that parts stand for, that from which all do, and the first that they do not stand for.
_FIRST, _ALL, _BEYOND = (4, 15), (4, 16), (4, 17)

# "0": no parts; "try": parts for any version, to find out whether its test suite passes.
_SWITCH = "FERRIO_ANYIO"

# Why the parts are not in place although install() was called, or the version whose methods they replace.
_refused: str | None = None
_version: str | None = None


def replacements(module: Any) -> Iterator[tuple[Any, str, Any]]:
    """What install() replaces for anyio's module `module`: owner, name and new value; nothing if it must not."""
    global _refused, _version
    _version = _installed_version()
    _refused = _why_not(module, _version)
    if _refused is not None:
        return
    backend = module.AsyncIOBackend
    find_backend = sys.modules[FINDING].get_async_backend
    methods = {name: getattr(backend, name) for name in _ferrio._anyio_parts if _is_anyios(backend, name)}
    functions = {name: vars(sys.modules[home])[name] for name, home in _HOMES.items() if _is_function_of(home, name)}
    _share_task_states(module._task_states)
    originals = methods | {"get_async_backend": find_backend}
    _ferrio._anyio_begin(
        module, originals, functions, _ferrio._anyio_parts, _is_cancellation, _numbers(_version) >= _ALL
    )
    for name in methods:
        yield backend, name, staticmethod(_ferrio._anyio_parts[name])
    ours = {original: _stand_in(original) for original in functions.values()}
    if (find_backend.__module__, find_backend.__qualname__) == (FINDING, "get_async_backend"):
        ours[find_backend] = _ferrio._anyio_get_async_backend
    for imported in _modules():
        if imported.__name__ == _LOW_LEVEL:
            continue
        for name, value in list(vars(imported).items()):
            if isinstance(value, FunctionType) and value in ours:
                yield imported, name, ours[value]
    yield from _ferrio._anyio_primitives(module)


# Its functions stay where programs take them from: `inspect` says that they are functions and return coroutines, and
# `as_completed` names tasks by that. anyio's other modules use ferrio's.
_LOW_LEVEL = "anyio.lowlevel"

# The modules that define the functions that are replaced in each of anyio's modules.
_HOMES = dict.fromkeys(("checkpoint", "checkpoint_if_cancelled", "cancel_shielded_checkpoint"), _LOW_LEVEL)
_HOMES |= dict.fromkeys(("move_on_after", "fail_after", "create_task_group"), "anyio._core._tasks")
_HOMES |= dict.fromkeys(("sleep", "current_time"), FINDING)

_stand_ins: dict[FunctionType, Any] = {}


def _stand_in(original: FunctionType) -> Any:
    """The function for `original`, which shows its attributes; the same one each time."""
    if original not in _stand_ins:
        _stand_ins[original] = _ferrio._anyio_stand_in(_ferrio._anyio_functions[original.__name__], original)
    return _stand_ins[original]


def restore() -> None:
    """Puts anyio's functions back where its modules have taken ferrio's since install()."""
    theirs = {id(ours): original for original, ours in _stand_ins.items()}
    if theirs:
        for module in _modules():
            for name, value in list(vars(module).items()):
                if id(value) in theirs:
                    setattr(module, name, theirs[id(value)])


def _modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "anyio" and isinstance(module, ModuleType):
            yield module


def _is_function_of(home: str, name: str) -> bool:
    """Whether a function is still anyio's own: what another library has put there stays."""
    function = getattr(sys.modules.get(home), name, None)
    # Those that `contextlib.contextmanager` makes have its globals.
    inner = getattr(function, "__wrapped__", function)
    return (
        isinstance(function, FunctionType)
        and isinstance(inner, FunctionType)
        and function.__qualname__ == name
        and inner.__globals__ is vars(sys.modules[home])
    )


def anyio_status() -> str:
    """Say whether ferrio serves anyio: "native", "off" or "anyio's own", each with the version or the reason."""
    from ferrio import _install

    if _switched_off():
        return f"off: {_SWITCH}=0"
    if not _install.is_installed():
        return "off: ferrio is not installed in asyncio's place"
    if MODULE in sys.modules:
        return f"anyio's own: {_refused}" if _refused is not None else f"native, anyio {_version}"
    version = _installed_version()
    if version is None:
        return "off: there is no anyio"
    if (reason := _why_not_version(version)) is not None:
        return f"anyio's own: {reason}"
    return f"native once it is imported, anyio {version}"


def _switched_off() -> bool:
    return os.environ.get(_SWITCH) == "0"


def _why_not(module: Any, version: str | None) -> str | None:
    if _switched_off():
        return f"{_SWITCH}=0"
    if getattr(module, "backend_class", None) is None:  # the last line of the module sets it
        return "anyio was being imported while ferrio was installed"
    return _why_not_version(version)


def _why_not_version(version: str | None) -> str | None:
    if version is None:
        return "the version of anyio is unknown"
    if os.environ.get(_SWITCH) == "try":
        return None
    if not _FIRST <= _numbers(version) < _BEYOND:
        first, beyond = (".".join(map(str, bound)) for bound in (_FIRST, _BEYOND))
        return f"anyio {version} is not a version from {first} up to and without {beyond}"
    return None


def _numbers(version: str | None) -> tuple[int, ...]:
    """The first two numbers of a version; none if it has others."""
    numbers = (version or "").split(".")[:2]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ()


def _installed_version() -> str | None:
    from importlib import metadata  # takes as long as the rest of ferrio

    try:
        return metadata.version("anyio")
    except metadata.PackageNotFoundError:
        return None


def _is_anyios(backend: Any, name: str) -> bool:
    """Whether a method is still anyio's own: what another library has put there stays."""
    method = getattr(vars(backend).get(name), "__func__", None)
    return (getattr(method, "__module__", None), getattr(method, "__qualname__", None)) == (
        MODULE,
        f"{backend.__name__}.{name}",
    )


def _is_cancellation(exception: BaseException) -> bool:
    """Whether it is the cancellation of a scope; a Python function, because exception groups take no other on 3.11."""
    return _ferrio._anyio_is_cancellation(exception)


_NOT_THERE = object()
_NOT_OURS = object()


class _TaskStates(WeakKeyDictionary[Any, Any]):
    """anyio's `_task_states`, in which the states of ferrio's tasks are those that the tasks themselves keep."""

    __slots__ = ()

    def __getitem__(self, task: Any) -> Any:
        state = _ferrio._anyio_task_state(task, _NOT_THERE, _NOT_OURS)
        if state is _NOT_OURS:
            return super().__getitem__(task)
        if state is _NOT_THERE:
            raise KeyError(task)
        return state

    def get(self, task: Any, default: Any = None) -> Any:
        state = _ferrio._anyio_task_state(task, default, _NOT_OURS)
        return super().get(task, default) if state is _NOT_OURS else state

    def __contains__(self, task: object) -> bool:
        state = _ferrio._anyio_task_state(task, _NOT_THERE, _NOT_OURS)
        return super().__contains__(task) if state is _NOT_OURS else state is not _NOT_THERE

    def __setitem__(self, task: Any, state: Any) -> None:
        if not _ferrio._anyio_set_task_state(task, state):
            super().__setitem__(task, state)

    def __delitem__(self, task: Any) -> None:
        state = _ferrio._anyio_task_state(task, _NOT_THERE, _NOT_OURS)
        if state is _NOT_THERE:
            raise KeyError(task)
        if not _ferrio._anyio_set_task_state(task, None):
            super().__delitem__(task)


def _share_task_states(states: WeakKeyDictionary[Any, Any]) -> None:
    """Makes the dictionary one that looks in ferrio's tasks; for good, since tasks may outlive uninstall()."""
    if type(states) is WeakKeyDictionary:
        for task, state in list(states.items()):
            if _ferrio._anyio_set_task_state(task, state):
                del states[task]
        states.__class__ = _TaskStates
