"""Pytest plugin inside an upstream suite: puts the loop under test in place and records what became of every test.

The mode comes in UPSTREAM_MODE: `whole` is ferrio.install(), `loop` sets ferrio's policy alone, `stock` is as is.
UPSTREAM_QUIET names a logger that says nothing below critical errors, which one suite's own runner sees to.
The outcomes go to UPSTREAM_RESULTS as JSON, with the kinds of loops that each test had made, so that nobody has to
believe that the loop under test was there. A test that neither ends nor heeds pytest-timeout's signal ends its process,
which pytest-xdist reports as that test's failure.
"""

import asyncio
import faulthandler
import functools
import json
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

MODE = os.environ.get("UPSTREAM_MODE", "stock")
RESULTS = os.environ.get("UPSTREAM_RESULTS")
# Past pytest-timeout's limit, for a thread that does not come back to the interpreter.
DEADLINE = float(os.environ.get("UPSTREAM_DEADLINE", "120"))

_LOOPS = "upstream_loops"
_made: set[str] = set()
_outcomes: dict[str, dict[str, Any]] = {}


def pytest_configure(config: pytest.Config) -> None:
    if quiet := os.environ.get("UPSTREAM_QUIET"):
        logging.getLogger(quiet).setLevel(logging.CRITICAL)
    if MODE == "stock" or "ferrio" in sys.modules:
        _count_loops()
        return
    import ferrio

    if MODE == "whole":
        ferrio.install()
    else:
        set_policy = getattr(asyncio.events, "_set_event_loop_policy", asyncio.set_event_loop_policy)
        set_policy(ferrio.EventLoopPolicy())
    _count_loops()


def _count_loops() -> None:
    """Notes the class of every loop that a policy makes: asyncio.run, Runner and new_event_loop all ask it."""
    for policy in (asyncio.events, asyncio.unix_events):
        for name, kind in list(vars(policy).items()):
            made_here = name.endswith("DefaultEventLoopPolicy") and "new_event_loop" in vars(kind)
            if made_here and not hasattr(kind.new_event_loop, "__wrapped__"):
                kind.new_event_loop = _noting(kind.new_event_loop)


def _noting(new_event_loop: Any) -> Any:
    @functools.wraps(new_event_loop)
    def noting(self: Any) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = new_event_loop(self)
        _made.add(type(loop).__module__.partition(".")[0])
        return loop

    return noting


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _made.clear()
    # Not sys.stderr, which tests replace.
    assert sys.__stderr__ is not None
    faulthandler.dump_traceback_later(DEADLINE, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report: Any = yield
    report.user_properties = [*report.user_properties, (_LOOPS, sorted(_made))]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome = _outcomes.setdefault(report.nodeid, {"what": "skipped", "detail": "", "loops": []})
    for name, value in report.user_properties:
        if name == _LOOPS:
            outcome["loops"] = sorted({*outcome["loops"], *cast("list[str]", value)})
    if report.failed:
        outcome["what"] = "failed" if report.when == "call" else "error"
        outcome["detail"] = str(report.longreprtext)[-6000:]
    elif outcome["what"] in ("failed", "error"):
        return
    elif report.skipped:
        outcome["what"] = "xfailed" if hasattr(report, "wasxfail") else "skipped"
        outcome["detail"] = str(getattr(report, "wasxfail", report.longreprtext))[-300:]
    elif report.when == "call":
        outcome["what"] = "passed"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if RESULTS and not hasattr(session.config, "workerinput") and _outcomes:
        Path(RESULTS).write_text(json.dumps(_outcomes, indent=1), encoding="utf-8")
