"""Runs a scenario on stock asyncio and on ferrio and compares their traces.

A scenario is an async function that takes a list, `trace`, and appends its observations to it. Addresses, ports and
loop names differ from run to run and are masked. The trace also contains what the loop logs and what it passes to its
exception handler.
"""

import asyncio
import gc
import logging
import re
import traceback
from functools import partial

import ferrio
from tests.support.loops import FACTORIES, close

MASKS = (
    # Only the innermost frame of a traceback: ferrio has no frames for what asyncio's loop does in Python.
    (re.compile(r"(call last\):\n)(?:  File [^\n]*\n(?:    [^\n]*\n)*)*(?=  File)"), r"\1"),
    (re.compile(r"0x[0-9a-f]+"), "0x"),
    # The place where asyncio's own callbacks are defined: callbacks in Rust have none.
    (re.compile(r" at ([^ ]*/asyncio/\w+\.py|<ferrio>):\d+"), ""),
    (re.compile(r"\b(fd|laddr|raddr)=[^,>)]*(\([^)]*\))?"), r"\1="),
    (re.compile(r"Task-\d+"), "Task-N"),
    (re.compile(r"when=\d+\.\d+"), "when=N"),
    (re.compile(r"took [\d.]+ seconds"), "took N seconds"),
    (re.compile(r"<[^<>]*EventLoop [^<>]*>|<ferrio[^<>]*Loop[^<>]*>"), "<loop>"),
)


class _Records(logging.Handler):
    def __init__(self, trace: list):
        super().__init__(logging.DEBUG)
        self.trace = trace

    def emit(self, record):
        text = masked(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            text += " | " + traceback.format_exception_only(record.exc_info[1])[-1].strip()
        if "Using selector" not in text:
            self.trace.append(("log", record.levelname, text))


def masked(value: object) -> str:
    text = str(value)
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def trace_on(kind: str, scenario, *, debug: bool = False) -> list:
    trace: list = []
    records = _Records(trace)
    logger = logging.getLogger("asyncio")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    loop = FACTORIES[kind]()
    loop.set_debug(debug)
    # A busy machine makes callbacks slow, and is none of the scenario's business.
    loop.slow_callback_duration = 100
    # What an earlier test has left is collected at no fixed time, and would log into this trace.
    gc.disable()
    try:
        loop.run_until_complete(scenario(trace))
    except BaseException as error:  # what leaves the loop is part of what it shows
        if isinstance(error, AssertionError):
            raise
        trace.append(("left the loop", type(error).__name__, masked(error)))
    finally:
        close(loop)
        gc.enable()
        logger.removeHandler(records)
        logger.setLevel(level)
        logger.propagate = propagate
    return trace


def assert_same(scenario, *, debug: bool = False) -> list:
    """The trace, which has to be equal on both; a scenario that shows nothing proves nothing."""
    stock = trace_on("stock", scenario, debug=debug)
    assert stock, "the scenario left no trace"
    assert trace_on("ferrio", scenario, debug=debug) == stock
    return stock


def assert_same_functions(scenario, *, debug: bool = False) -> None:
    """`scenario` takes asyncio, or ferrio in its place, as well: ferrio's functions show what asyncio's do, on both."""
    stock = trace_on("stock", partial(scenario, asyncio), debug=debug)
    assert stock, "the scenario left no trace"
    for kind in FACTORIES:
        assert trace_on(kind, partial(scenario, ferrio), debug=debug) == stock, kind
    assert trace_on("ferrio", partial(scenario, asyncio), debug=debug) == stock, "asyncio's functions on ferrio's loop"


def outcome(function, *arguments, **keywords):
    """What a call returned or raised, in a form that can be compared."""
    try:
        return ("returned", function(*arguments, **keywords))
    except (asyncio.CancelledError, Exception) as error:
        return ("raised", type(error).__name__, masked(error))


async def outcome_of(awaitable):
    try:
        return ("returned", await awaitable)
    except (asyncio.CancelledError, Exception) as error:
        return ("raised", type(error).__name__, masked(error))
