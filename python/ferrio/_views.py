"""The names of the command line's views, and whether the environment asks for inspection.

Apart from `ferrio.inspect`, so that programs which do not use that do not import it.
"""

import os
import sys
import warnings

# The first words of the command line that name a view, with what follows them and what each shows.
VIEWS = {
    "list": ("", "the processes that can be asked"),
    "ps": ("[PID]", "a line for each task"),
    "tree": ("[PID]", "who awaits whom"),
    "why": ("[PID [TASK]]", "why tasks do not go on: what they wait for and who holds it, to the end"),
    "stacks": ("[PID]", "where tasks wait, equal stacks together"),
    "top": ("[PID]", "the tasks, sorted, as they change"),
}

VARIABLE = "FERRIO_INSPECT"


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
    if value == "1":
        inspect.start()
        return
    try:
        inspect.start(value)
    except FileExistsError:
        # The process that has started this one has the path.
        inspect.start(f"{value}.{os.getpid()}")


def start_if_wanted() -> None:
    """Starts inspection when ferrio is imported; a program that cannot be inspected runs all the same."""
    if is_command():
        return
    try:
        start()
    except Exception as error:
        warnings.warn(f"{VARIABLE}: {error}", RuntimeWarning, stacklevel=3)
