"""Random programs have the same trace on stock asyncio and on ferrio: the loop alone, the whole, and on asyncio's loop.

FERRIO_PROGRAMS sets how many programs of each theme are run (`make soak` runs 10,000). Without it, the same few hundred
are run each time.
"""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.random_programs.observation import MODES, observe
from tests.random_programs.strategies import THEMES, Program

USUAL = {"tasks": 300, "generators": 100, "streams": 100, "makers": 100, "exits": 100}
CHOSEN = int(os.environ.get("FERRIO_PROGRAMS", 0))


@pytest.fixture(scope="module", autouse=True)
def collections_stay_short() -> Iterator[None]:
    """Each observation freezes what is there, and ends with nothing frozen: for the tests after these, it is again."""
    yield
    gc.collect()
    gc.freeze()


@pytest.mark.timeout(300 + CHOSEN)
@pytest.mark.parametrize("theme", THEMES)
def test_random_programs_show_the_same_everywhere(theme):
    @settings(
        max_examples=CHOSEN or USUAL[theme],
        derandomize=not CHOSEN,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(THEMES[theme].programs())
    def same_everywhere(program):
        stock = observe(program, "stock")
        for mode in MODES:
            if mode != "stock":
                assert observe(program, mode) == stock, mode

    same_everywhere()


def test_a_program_shows_the_same_twice():
    """The comparison would be worth nothing if asyncio itself did not."""
    body = [("sleep", 1), ("set_result", 0, 5), ("everybody",), ("raise", "ValueError")]
    program = Program(
        [("spawn_task", body, True), ("group", [body, body], [("sleep", 0)], True), ("await_future", 0, True)]
    )
    first = observe(program, "stock")
    assert len(first) > 10
    assert observe(program, "stock") == first
