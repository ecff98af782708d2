"""The names of the command line's views, and whether the environment asks for inspection.

Apart from `ferrio.inspect`, so that programs which do not use that do not import it.
"""

import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferrio.inspect import LintLimits

# The first words of the command line that name a view, with what follows them and what each shows.
VIEWS = {
    "list": ("", "the processes that can be asked"),
    "ps": ("[PID]", "a line for each task"),
    "tree": ("[PID]", "who awaits whom"),
    "why": ("[PID [TASK]]", "why tasks do not go on: what they wait for and who holds it, to the end"),
    "metrics": ("[PID]", "what the process counts, as text for Prometheus"),
    "stacks": ("[PID]", "where tasks wait, equal stacks together"),
    "io": ("[PID]", "servers, connections, child processes, and jobs of threads"),
    "timers": ("[PID]", "what loops will call, and when"),
    "top": ("[PID]", "the tasks, sorted, as they change"),
    "trace": ("[PID]", "a file of what its loops did, for Perfetto's UI or chrome://tracing"),
    "watch": ("[PID]", "what blocks a loop, as it happens"),
    "console": ("[PID]", "all of this in a browser, as it changes"),
    "detach": ("PID", "nothing: ends the inspection that a view of a process has begun"),
}

VARIABLE = "FERRIO_INSPECT"

# Context variables whose values are shown, as `module:variable`, with commas in between.
CONTEXT = "FERRIO_INSPECT_CONTEXT"

# Whether lints are looked for, and logged as warnings: 1, or limits such as `held_lock=5,interval=1`.
LINTS = "FERRIO_INSPECT_LINTS"

# How long a callback may run before it is reported, such as 50ms; "off" reports none.
BLOCKED = "FERRIO_BLOCKED"

# How many events `--trace` keeps of each loop: those before its last million are lost.
TRACED = 1 << 20

_UNITS = {"ms": 1e-3, "s": 1.0, "": 1.0}


def seconds(text: str) -> float:
    """The seconds of `50ms`, `0.5s` or `0.5`; ValueError if it is none of them, or not above 0."""
    number = text.rstrip("ms")
    unit = text[len(number) :]
    try:
        value = float(number) * _UNITS.get(unit, 0.0)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise ValueError(f"{text!r} is no duration such as 50ms or 0.5s")
    return value


def limit() -> float | None:
    """The limit that the environment gives; None for none. ValueError as `seconds`."""
    given = os.environ.get(BLOCKED, "")
    return None if given == "off" else seconds(given) if given else 0.1


def is_wanted() -> bool:
    """Whether the environment asks for inspection."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def is_command() -> bool:
    """Whether this process is the command line, which decides itself once it knows what it is to do."""
    return sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] if sys.argv else "") == "ferrio"


def start() -> None:
    """Starts inspection as the environment says: 1, or the path of the socket.

    Raises OSError, or what `ferrio.inspect.start` raises, if that is not possible.
    """
    from ferrio import inspect

    value = os.environ[VARIABLE]
    context = [each.strip() for each in os.environ.get(CONTEXT, "").split(",") if each.strip()]
    lints = _lints(os.environ.get(LINTS, ""))
    if value == "1":
        inspect.start(blocked=limit(), context=context, lints=lints)
        return
    try:
        inspect.start(value, blocked=limit(), context=context, lints=lints)
    except FileExistsError:
        # The process that has started this one has the path.
        inspect.start(f"{value}.{os.getpid()}", blocked=limit(), context=context, lints=lints)


def _lints(text: str) -> "bool | LintLimits":
    """Whether lints are wanted, or their limits. Raises ValueError for what is none of that."""
    if text in ("", "0", "1"):
        return text == "1"
    from ferrio.inspect import LintLimits

    try:
        pairs = [each.split("=") for each in text.split(",")]
        return LintLimits(**{name.strip(): float(value) for name, value in pairs})
    except (TypeError, ValueError) as error:
        names = ", ".join(LintLimits.__dataclass_fields__)
        raise ValueError(f"{LINTS} is 1, or numbers for {names}, not {text!r}") from error


def trace(file: str) -> None:
    """Records, and writes the trace to `file` when the program ends."""
    from ferrio.inspect import _dumps, _serve

    with open(file, "w", encoding="utf-8"):
        # That it cannot be written is said now, and not after the run.
        pass
    _serve.record_flight(TRACED)
    _dumps.at_exit(file)


def start_if_wanted() -> None:
    """Starts inspection when ferrio is imported; a program that cannot be inspected runs all the same."""
    if is_command():
        return
    try:
        start()
    except Exception as error:
        warnings.warn(f"{VARIABLE}: {error}", RuntimeWarning, stacklevel=3)
