"""What differs between a suite's run on stock asyncio and its run on ferrio, and which of that is expected."""

import fnmatch
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

EXPECTED = Path(__file__).with_name("expected.toml")

GOOD = ("passed", "xfailed", "skipped")


class Expected(NamedTuple):
    """A difference that has a reason: the tests by pattern, where `[` and `]` stand for themselves."""

    tests: tuple[str, ...]
    modes: tuple[str, ...]
    reason: str

    def names(self, test: str, mode: str) -> bool:
        patterns = (pattern.replace("[", "[[]") for pattern in self.tests)
        return mode in self.modes and any(fnmatch.fnmatchcase(test, pattern) for pattern in patterns)


def expected(suite: str) -> list[Expected]:
    with EXPECTED.open("rb") as file:
        entries = tomllib.load(file).get(suite, [])
    running = sys.version_info[:2]
    return [
        Expected(tuple(entry["tests"]), tuple(entry.get("modes", ("whole", "loop"))), entry["reason"])
        for entry in entries
        if tuple(map(int, entry.get("since", "3.11").split("."))) <= running
    ]


def worse(stock: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Tests that are well on stock and not on ferrio, or that one run has and the other lacks.

    A test that its suite lets fail may pass.
    """
    for test in sorted({*stock, *ours}):
        before = stock.get(test, {"what": "missing"})["what"]
        after = ours.get(test, {"what": "missing"})["what"]
        if before != after and (before, after) != ("xfailed", "passed") and before in (*GOOD, "missing"):
            yield test


def better(stock: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    return [test for test in stock if stock[test]["what"] not in GOOD and ours.get(test, {}).get("what") == "passed"]
