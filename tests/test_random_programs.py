"""Random programs show the same on stock asyncio and on ferrio: loop only, whole, and whole on asyncio's own loop.

FERRIO_PROGRAMS sets how many programs are run (`make soak` runs 10,000); the few hundred of a usual run are always the
same ones.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.random_programs.making import Program, programs
from tests.random_programs.observing import MODES, observe

USUAL = 300
COUNT = int(os.environ.get("FERRIO_PROGRAMS", USUAL))


@pytest.mark.timeout(120 + COUNT)
@settings(
    max_examples=COUNT,
    derandomize=COUNT == USUAL,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(programs)
def test_random_programs_show_the_same_everywhere(program):
    stock = observe(program, "stock")
    for mode in MODES:
        if mode != "stock":
            assert observe(program, mode) == stock, mode


def test_a_program_shows_the_same_twice():
    """The comparison would be worth nothing if asyncio itself did not."""
    body = [("sleep", 1), ("set_result", 0, 5), ("everybody",), ("raise", "ValueError")]
    program = Program(
        [("spawn_task", body, True), ("group", [body, body], [("sleep", 0)], True), ("await_future", 0, True)]
    )
    first = observe(program, "stock")
    assert len(first) > 10
    assert observe(program, "stock") == first
