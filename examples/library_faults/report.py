"""Explores the programs of a file and prints what was found; the command line of the examples in this folder."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ferrio import testing


def explore(*programs: Callable[[], Coroutine[Any, Any, None]], schedules: int = 400) -> None:
    """Explore the programs that the command line names, or all; the exit status is 1 if one fails."""
    wanted = sys.argv[1:] or [program.__name__ for program in programs]
    failed = False
    for program in programs:
        if program.__name__ in wanted:
            report = testing.explore(program, schedules=schedules, progress=False)
            failed = failed or report.failure is not None
            print(f"{program.__name__}: {report}")
    sys.exit(failed)
