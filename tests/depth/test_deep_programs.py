"""Programs that recurse deeply get as far as on asyncio, and never overrun the stack."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import deep_programs
from tests.support.prepared_python import Prepared

ROOT = Path(__file__).parents[2]

ANY_DEPTH = [program.__name__ for program in deep_programs.ANY_DEPTH]
TO_SOME_DEPTH = [program.__name__ for program in deep_programs.TO_SOME_DEPTH]
RECURSION = "raised RecursionError\n"


@pytest.fixture(scope="module", autouse=True)
def prepared_process() -> Iterator[None]:
    """It is there before the first test looks for what it leaves open."""
    process = prepared()
    yield
    prepared.cache_clear()
    process.end()


@functools.cache
def prepared() -> Prepared:
    preamble = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.support import deep_programs"
    return Prepared(preamble, ["-W", "ignore"], os.environ)


@functools.cache
def run(kind: str, name: str, *numbers: int) -> str:
    ended = prepared().run(f"deep_programs.main({kind!r}, {name!r}, *{numbers})", timeout=100)
    assert ended.status == 0, (kind, ended.status, ended.errors[-2000:])
    return ended.output


@pytest.mark.parametrize("name", [*ANY_DEPTH, *TO_SOME_DEPTH])
def test_a_little_depth_is_as_with_asyncio(name):
    shown = run("asyncio", name, 60)
    if name != "cancelling_tasks_in_a_circle":
        assert shown != RECURSION
    assert run("ferrio", name, 60) == shown


@pytest.mark.parametrize("name", ANY_DEPTH)
def test_what_asyncio_takes_to_any_depth_goes_as_far(name):
    shown = run("ferrio", name, 20_000)
    assert shown == run("ferrio", name, 60) != RECURSION


@pytest.mark.parametrize("name", TO_SOME_DEPTH)
@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
def test_what_is_too_deep_is_a_recursion_error(name, depth):
    """At 5,000 the interpreters differ, by how far they let their own code go."""
    assert run("ferrio", name, depth) in {run("ferrio", name, 60), RECURSION}


def test_any_number_of_tasks_that_wait_for_one_another_is_cancelled():
    assert (
        run("ferrio", "cancelling_tasks", 200_000)
        == run("asyncio", "cancelling_tasks", 60)
        == "raised CancelledError\n"
    )


# What goes through objects and coroutines of ferrio's alone: in others the interpreter's own code may be what overruns.
OWN = [
    "eager_tasks",
    "showing_queues_of_queues",
    "throwing_into_nested_coroutines",
    "closing_nested_coroutines",
    "forgetting_nested_coroutines",
]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("size", [0, 256 << 10], ids=["stack of the process", "small stack"])
@pytest.mark.parametrize("limit", [1_000, 1_000_000])
def test_the_stack_is_not_overrun_whatever_the_limit(name, size, limit):
    assert run("ferrio", name, 20_000, limit, size) in {run("ferrio", name, 60), RECURSION}
