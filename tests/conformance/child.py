"""Runs the tests of one module of `test.test_asyncio` in this process and reports each as it happens.

One JSON line when a test starts and one when it ends, so that the supervisor knows which test took the process
down. A test that hangs ends the process with a traceback of every thread. Beside what unittest says, a test that
leaves descriptors open counts as failed.
"""

import argparse
import faulthandler
import fnmatch
import gc
import importlib
import json
import os
import re
import sys
import time
import traceback
import unittest
from collections.abc import Iterator

from .default_loop import replace_default_loop

PACKAGE = "test.test_asyncio"
STOCK = "stock"
# The same tests once for each selector: one is enough for a loop that does not take selectors.
DUPLICATES = ("PollEventLoopTests", "SelectEventLoopTests", "KqueueEventLoopTests")


def prepare(loop: str) -> None:
    if loop != STOCK:
        module, _, factory = loop.partition(":")
        replace_default_loop(getattr(importlib.import_module(module), factory))
    from test import support

    support.use_resources = ["subprocess", "cpu", "walltime"]
    _close_loops_by_public_means()


def _close_loops_by_public_means() -> None:
    """The suite's `close_loop` looks into `loop._default_executor`."""
    from test.test_asyncio import utils

    original = utils.TestCase.close_loop

    def close_loop(loop):
        if not hasattr(loop, "_default_executor"):
            if not loop.is_closed():
                loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        else:
            original(loop)

    utils.TestCase.close_loop = staticmethod(close_loop)


def identity(test: unittest.TestCase) -> str:
    return test.id().removeprefix(PACKAGE + ".")


def load(module: str) -> list[unittest.TestCase]:
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"{PACKAGE}.{module}"))
    return [test for test in _flat(suite) if type(test).__name__ not in DUPLICATES]


def _flat(suite) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flat(item)
        else:
            yield item


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Reporter(unittest.TestResult):
    SEVERITY = ("passed", "skipped", "failed")

    def __init__(self, report, seconds_per_test: float):
        super().__init__()
        self._report = report
        self._limit = seconds_per_test
        self._begin()

    def _begin(self) -> None:
        self._outcome, self._detail = "passed", ""
        self._descriptors, self._began = open_descriptors(), time.monotonic()

    def say(self, **event) -> None:
        self._report.write(json.dumps(event) + "\n")
        self._report.flush()

    def startTest(self, test):
        super().startTest(test)
        self._begin()
        self.say(started=identity(test))
        faulthandler.dump_traceback_later(self._limit, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        seconds = time.monotonic() - self._began
        if self._outcome == "passed" and (left := self._left_open(test)) > 0:
            self._worsen("failed", f"{left} descriptors left open")
        self.say(test=identity(test), outcome=self._outcome, detail=self._detail, seconds=round(seconds, 3))
        self._begin()  # 3.12 ends tests of a skipped class without having started them

    def _left_open(self, test) -> int:
        if isinstance(test, unittest.IsolatedAsyncioTestCase):
            return 0  # closes its loop only after it has reported its end
        if open_descriptors() > self._descriptors:
            gc.collect()
        return open_descriptors() - self._descriptors

    def _worsen(self, outcome: str, detail: str) -> None:
        if self.SEVERITY.index(outcome) >= self.SEVERITY.index(self._outcome):
            self._outcome, self._detail = outcome, detail

    def addError(self, test, error):
        text = "".join(traceback.format_exception(*error))
        if isinstance(test, unittest.TestCase):
            self._worsen("failed", text)
        else:  # setUpClass or setUpModule
            self.say(test=str(test), outcome="failed", detail=text, seconds=0)

    addFailure = addError

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.addError(test, error)

    def addSkip(self, test, reason):
        if isinstance(test, unittest.TestCase):
            self._worsen("skipped", reason)

    def addUnexpectedSuccess(self, test):
        self._worsen("failed", "passes, but is marked as an expected failure")


def matcher(patterns: list[str]) -> re.Pattern:
    """One expression for a list of shell patterns; of an empty list, one that matches nothing."""
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", help=f"module:factory, or {STOCK}")
    parser.add_argument("module")
    parser.add_argument("report")
    parser.add_argument("selection", help="JSON file: {only: patterns, skip: patterns}")
    parser.add_argument("--seconds-per-test", type=float, default=30)
    arguments = parser.parse_args()
    with open(arguments.selection) as file:
        selection = json.load(file)
    only, skip = matcher(selection["only"]), matcher(selection["skip"])
    prepare(arguments.loop)
    with open(arguments.report, "a") as report:
        reporter = Reporter(report, arguments.seconds_per_test)
        try:
            tests = load(arguments.module)
        except unittest.SkipTest:
            tests = []
        reporter.say(collected=[identity(test) for test in tests])
        chosen = [test for test in tests if only.match(identity(test)) and not skip.match(identity(test))]
        unittest.TestSuite(chosen).run(reporter)
        reporter.say(finished=True)
    sys.stderr.flush()
    os._exit(0)  # a thread that never ends is the test's own affair, not this report's


if __name__ == "__main__":
    main()
