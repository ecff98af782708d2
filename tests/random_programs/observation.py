"""Runs a random program on one kind of loop and returns everything that can be observed of it.

That is: the outcome of each instruction in order, with the turn of the loop; results; exceptions with their arguments,
causes and contexts; the order of callbacks; counts of cancellations; the current task and all tasks; log records and
warnings. Time is the number of turns that the loop has made; a callback that runs in every turn counts them.
"""

import asyncio
import contextlib
import contextvars
import gc
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

import ferrio
from tests.random_programs.instructions import World, shown
from tests.support.differential import masked

# In turns: when what still runs is cancelled, again and again, and when the program is given up.
CANCELLED_AT = range(120, 200, 20)
GIVEN_UP_AT = 220
# How long timers may still do something after the last task.
AFTERMATH = 10


class _Turns:
    """A loop whose time is its turns."""

    turn = 0

    def time(self) -> float:
        return float(self.turn)


class StockTurns(_Turns, asyncio.SelectorEventLoop):
    """asyncio's own."""


class FerrioTurns(_Turns, ferrio.EventLoop):
    """Ours."""


@contextlib.contextmanager
def installed() -> Iterator[None]:
    ferrio.install()
    try:
        yield
    finally:
        ferrio.uninstall()


# How a program can run: the loop, and what is in place meanwhile.
MODES: dict[str, tuple[type, Callable]] = {
    "stock": (StockTurns, contextlib.nullcontext),
    "loop": (FerrioTurns, contextlib.nullcontext),
    "whole": (FerrioTurns, installed),
    "foreign": (StockTurns, installed),
}


class _Records(logging.Handler):
    def __init__(self, seen: list[str]):
        super().__init__(logging.INFO)
        self.seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        text = masked(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            text += " | " + traceback.format_exception_only(record.exc_info[1])[-1].strip()
        self.seen.append(f"{record.levelname}: {text}")


@contextlib.contextmanager
def recorded(seen: list[str]) -> Iterator[None]:
    """Puts log records and warnings into `seen`, those of what is left behind too, sorted: when the collector comes
    is nobody's promise."""
    logger, records = logging.getLogger("asyncio"), _Records(seen)
    level, propagate, hook = logger.level, logger.propagate, sys.unraisablehook
    logger.addHandler(records)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    sys.unraisablehook = lambda unraisable: seen.append(f"unraisable: {shown(unraisable.exc_value)}")
    gc.disable()
    gc.freeze()  # what was there before is not looked through again and again
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
            gc.collect()
        seen += [f"{each.category.__name__}: {masked(each.message)}" for each in warned]
        seen.sort()
    finally:
        gc.unfreeze()
        gc.enable()
        logger.removeHandler(records)
        logger.setLevel(level)
        logger.propagate = propagate
        sys.unraisablehook = hook


def observe(program, mode: str) -> list:
    """Everything that the program shows in `mode`."""
    make_loop, in_place = MODES[mode]
    seen: list[str] = []
    with in_place(), recorded(seen):
        # In a context of its own, so that no variable is set from the program before.
        trace = contextvars.copy_context().run(_run, program, make_loop())
    return [*trace, *(("said", text) for text in seen)]


def run(loop, trace: list) -> bool:
    """Whether it came to its end: what SystemExit and KeyboardInterrupt leave continues at the next run."""
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt) as error:
        trace.append((loop.turn, "left the loop", shown(error)))
        return False
    except BaseException as error:
        trace.append(("left the loop", shown(error)))
    return True


def _run(program, loop) -> list:
    world = World(loop)
    if program.eager:
        loop.set_task_factory(asyncio.eager_task_factory)
    last_busy = 0

    def turn() -> None:
        nonlocal last_busy
        loop.turn += 1
        pending = [task for task in world.tasks if not task.done()]
        if pending:
            last_busy = loop.turn
        loop.call_soon(turn)
        if loop.turn in CANCELLED_AT:
            world.trace.append((loop.turn, "cancelling what is left"))
            for task in pending:
                task.cancel("left")
        if loop.turn >= GIVEN_UP_AT or loop.turn > last_busy + AFTERMATH:
            loop.stop()

    def start() -> None:
        world.make_primitives()
        world.spawn(program.main)

    loop.call_soon(turn)
    loop.call_soon(start)
    try:
        while not run(loop, world.trace):
            pass
        for task in world.tasks:
            world.trace.append(("in the end", task.get_name(), world.state_of(task)))
    finally:
        loop.close()
    return world.trace
