"""Schedules that something else chooses: Hypothesis, or a test's author."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypeVar

from ferrio.testing import _freedoms
from ferrio.testing._explore import repeat_once

T = TypeVar("T")

# The most choices that are drawn one by one, and the most deviations and the largest gap between two of them.
_DENSE = 40
_SPARSE = 8
_GAP = 200

# Most choices have few alternatives, and most schedules that show a fault take the undisturbed one half of the time.
_ALTERNATIVES = (0, 1, 0, 0, 2, 0, 1, 3)


@dataclass(frozen=True)
class Schedule:
    """A schedule by its choices: which alternative each takes, 0 being the undisturbed one; all that follow take 0."""

    choices: Sequence[int] = ()
    _: KW_ONLY
    order: Literal["loop", "contract", "any"] = "contract"
    sleeps: Literal["exact", "io"] = "exact"
    stall: float = 0.005

    def run(self, main: Callable[[], Coroutine[Any, Any, T]], *, leftovers: Literal["report", "fail"] = "report") -> T:
        """Run a program under this schedule and give its result.

        `main` is a coroutine function without arguments. If it fails, the exception has the story, the classification
        and a token for `replay` as notes. An alternative that a choice does not have stands for its last one.
        """
        bits = _freedoms.freedoms(self.order, self.sleeps, self.stall)
        result: T = repeat_once(main, list(self.choices), bits, self.stall, leftovers)
        return result


def schedules(
    *,
    order: Literal["loop", "contract", "any"] = "contract",
    sleeps: Literal["exact", "io"] = "exact",
    stall: float = 0.005,
) -> Any:
    """A strategy of Hypothesis whose values are schedules; the arguments are those of `explore`.

    They shrink towards the undisturbed schedule. `pip install ferrio[testing]` brings Hypothesis.
    """
    try:
        from hypothesis import strategies
    except ImportError:
        raise ImportError("ferrio.testing.schedules needs Hypothesis: pip install ferrio[testing]") from None
    _freedoms.freedoms(order, sleeps, stall)
    dense = strategies.lists(strategies.sampled_from(_ALTERNATIVES), max_size=_DENSE)
    deviation = strategies.tuples(strategies.integers(0, _GAP), strategies.integers(1, max(_ALTERNATIVES)))
    sparse = strategies.lists(deviation, max_size=_SPARSE).map(_spread)

    # A composite strategy: the failing example is shown by its own repr, which is what a test can be written with.
    @strategies.composite
    def schedule(draw: Any) -> Schedule:
        choices = list(draw(strategies.one_of(dense, sparse)))
        while choices and choices[-1] == 0:
            choices.pop()
        return Schedule(tuple(choices), order=order, sleeps=sleeps, stall=stall)

    return schedule()


def _spread(deviations: list[tuple[int, int]]) -> list[int]:
    choices: list[int] = []
    for gap, alternative in deviations:
        choices += [0] * gap
        choices.append(alternative)
    return choices
