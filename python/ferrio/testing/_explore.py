"""`run`, `explore` and `replay`."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal, TypeVar

from ferrio.testing import _freedoms
from ferrio.testing._errors import Drift, LeftoverError
from ferrio.testing._places import is_of_program
from ferrio.testing._recordings import load
from ferrio.testing._report import Failure, Report
from ferrio.testing._surroundings import real_monotonic
from ferrio.testing._token import Choice, Token, decode, is_token
from ferrio.testing._why import recording
from ferrio.testing._world import Ending, Main, World

T = TypeVar("T")

# Says of a task whether it is to be cancelled.
ChosenTasks = Callable[["asyncio.Task[Any]"], bool]

# Seconds between two lines about the progress of a long exploration.
PROGRESS = 5.0

# How many runs shrinking a schedule, and each step of its classification, may take.
SHRINKING = 300
CLASSIFYING = 150

# How many runs are repeated at most to find the one that has left an exception in garbage.
COLLECTING = 500


def run(
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T],
    *,
    seed: int = 0,
    io: Literal["simulated", "real"] = "simulated",
    leftovers: Literal["report", "fail"] = "report",
) -> T:
    """Run a program in virtual time and give its result.

    `main` is a coroutine function, or a coroutine. The clock stands still while the program computes and jumps to the
    next deadline when nothing is left to do, so that a program which sleeps for an hour ends at once, with exact times.
    Jobs of executors run in real threads, one at a time. Real I/O is refused.

    With `io="real"` sockets, pipes, children and executors are the system's: the clock jumps only when nothing real is
    pending, and goes on as fast as the system's otherwise. With `leftovers="fail"` it raises LeftoverError if the
    program leaves tasks, held locks or sockets.
    """
    _check_leftovers(leftovers)
    if io not in ("simulated", "real"):
        raise ValueError(f"io is 'simulated' or 'real', not {io!r}")
    function: Main = (lambda: main) if isinstance(main, Coroutine) else main
    try:
        with World(seed, real_io=io == "real") as world:
            world.is_strict = leftovers == "fail"
            # A process may open what it keeps, and a single run does not tell.
            world.looks_at_descriptors = False
            world.simulation.repeat([], 0)
            with world.collecting_between_runs() if world.is_strict else contextlib.nullcontext(), recording():
                ending = world.once(function)
            if ending is not None:
                raise ending.error
            result: T = world.result
            return result
    finally:
        if isinstance(main, Coroutine):
            main.close()


def explore(
    main: Main,
    *,
    schedules: int = 1000,
    seconds: float | None = None,
    order: Literal["loop", "contract", "any"] = "contract",
    sleeps: Literal["exact", "io"] = "exact",
    cancel: Literal["sweep"] | ChosenTasks | None = None,
    stall: float = 0.005,
    seed: int = 0,
    rerun: bool = False,
    progress: bool = True,
    leftovers: Literal["report", "fail"] = "report",
    unseen: float = 0.0,
) -> Report:
    """Run a program under many legal schedules, until one fails, all were run, or the budget ends.

    `main` is a coroutine function without arguments that sets up all that it uses; it is called once for each schedule.
    `order` says what may vary: "loop" what ferrio's loop may do, "contract" also what asyncio leaves undefined, "any"
    the order of all callbacks, which no loop varies. `sleeps="io"` lets each sleep take longer, as I/O would.
    `cancel="sweep"` also cancels each task once at each point where it waits, a function only the tasks of which it
    says so. `stall` is how far the clock may jump at once, in seconds. `unseen` ends the exploration when the report's
    estimate has come down to it. With `rerun` the budget is used up even when all schedules were run.
    `leftovers="fail"` makes it a failure if a run leaves tasks, held locks, sockets or other descriptors.
    """
    _check_leftovers(leftovers)
    if not 0 <= unseen <= 1:
        raise ValueError(f"unseen is a probability, not {unseen!r}")
    if cancel not in (None, "sweep") and not callable(cancel):
        raise ValueError(f"cancel is None, 'sweep' or a function that chooses tasks, not {cancel!r}")
    if not callable(main):
        raise TypeError(f"main is a coroutine function, which is called once for each schedule, not {main!r}")
    bits = _freedoms.freedoms(order, sleeps, stall)
    report = Report(stall=stall)
    with World(seed, stall) as world, world.collecting_between_runs():
        world.is_strict = leftovers == "fail"
        exploration = _Exploration(world, main, bits, stall)
        watch = _Watch(report, world, seconds, progress)
        try:
            exploration.search(report, watch, schedules, rerun, unseen)
            if report.failure is None and world.has_faulty_garbage():
                exploration.search_garbage(report)
            if cancel is not None and report.failure is None:
                exploration.sweep(report, watch, cancel if callable(cancel) else is_of_program)
        except KeyboardInterrupt:
            report.interrupted = True
        exploration.conclude(report)
    return report


def replay(main: Main, token: str | os.PathLike[str], *, leftovers: Literal["report", "fail"] = "report") -> Report:
    """Run the schedule of a token once; the report has the failure, if the program still fails.

    `leftovers` is that of `explore`. Raises Drift, which names the choice, if the program no longer offers the choices
    that the token makes.

    In place of a token the file of a recording (`record`) may be given: what has happened to the program then happens
    to it again, in virtual time. Raises Drift at the first thing that the program does otherwise. Where a recording
    ends before the program does, the failure is EndOfRecording, which says what waits.
    """
    _check_leftovers(leftovers)
    if not isinstance(token, str) or (not is_token(token) and os.path.exists(token)):
        return _replay_recording(main, os.fspath(token))
    schedule = decode(token)
    report = Report(stall=schedule.stall)
    with World(0, schedule.stall) as world, world.collecting_between_runs():
        exploration = _Exploration(world, main, schedule.bits, schedule.stall)
        world.is_strict = leftovers == "fail"
        with world.telling():
            ending = exploration.repeat(schedule.planned(), schedule.cancel, checked=schedule)
        if ending is not None and exploration.confirmed(ending, schedule.cancel) is None:
            ending = None
        report.schedules = report.distinct = 1
        if ending is not None:
            report.failure = exploration.failure_of(ending, schedule.bits, schedule.cancel)
        if ending is None or not schedule.has_outcome(ending.outcome):
            happens = "passes" if ending is None else "fails in another way"
            report.nondeterminism.append(
                f"the program {happens}: it has changed since the token was made, or depends on more than its schedule"
            )
        exploration.conclude(report)
    return report


def _replay_recording(main: Main, file: str) -> Report:
    recorded = load(file)
    with World(recorded=recorded) as world, world.collecting_between_runs():
        world.simulation.repeat([], 0)
        with world.telling():
            ending = world.once(main)
        report = Report(schedules=1, distinct=1, leftovers=list(world.leftovers))
        if ending is not None:
            if isinstance(ending.error, Drift):
                raise ending.error
            story = world.story
            explanation = "has happened in the run that was recorded"
            report.failure = Failure(ending.error, file, "recorded", explanation, str(story or ""), story)
    return report


def repeat_once(main: Main, planned: list[int], bits: int, stall: float, leftovers: str) -> Any:
    """Runs one schedule, whose choices somebody else has made; gives the result or raises, as `Report.check` does."""
    _check_leftovers(leftovers)
    # A token and a plan hold numbers below 256.
    planned = [min(alternative, 255) for alternative in planned]
    with World(0, stall) as world, world.collecting_between_runs():
        world.is_strict = leftovers == "fail"
        exploration = _Exploration(world, main, bits, stall)
        ending = exploration.repeat(planned, None)
        if ending is None:
            return world.result
        with world.telling():
            ending = exploration.repeat(_taken(ending.choices), None) or exploration.confirmed(ending, None)
        if ending is None:
            return world.result
        report = Report(stall=stall, failure=exploration.failure_of(ending, bits, None))
    report.check()
    raise AssertionError("a failure has an exception")


class _Exploration:
    """An exploration of one program in one world."""

    def __init__(self, world: World, main: Main, bits: int, stall: float) -> None:
        self.world = world
        self.main = main
        self.bits = bits
        self.stall = stall

    def search(self, report: Report, watch: "_Watch", schedules: int, rerun: bool, unseen: float) -> None:
        """Runs schedule after schedule."""
        world, main, bits = self.world, self.main, self.bits
        world.crew.lend()
        begin, once = world.simulation.begin, world.once
        while report.schedules < schedules:
            if report.schedules % 64 == 0:
                if watch.is_over(schedules):
                    return
                if unseen and report.schedules and not rerun and world.simulation.unseen <= unseen:
                    return
            if not begin(bits):
                if not rerun:
                    return
                world.simulation.repeat([], bits)
            ending = once(main)
            report.schedules += 1
            if ending is not None and world.crew.lends:
                # What fails where the loop's thread plays others counts if it does with real ones as well.
                world.crew.lends = False
                ending = self.repeat(_taken(ending.choices), None)
            ending = self.confirmed(ending, None)
            if ending is not None:
                report.found_after = report.schedules
                report.failure = self._conclude_failure(ending, None)
                return

    def confirmed(self, ending: Ending | None, cancel: tuple[int, int] | None) -> Ending | None:
        """The ending, unless it is a leftover of the first run only: what a process opens once is none."""
        if ending is None or not isinstance(ending.error, LeftoverError):
            return ending
        return self.repeat(_taken(ending.choices), cancel)

    def search_garbage(self, report: Report) -> None:
        """Repeats the first runs of the search, and collects garbage after each."""
        world, self.world.collects = self.world, True
        world.keep_search()
        for number in range(1, min(report.schedules, COLLECTING) + 1):
            if not world.simulation.begin(self.bits):
                return
            ending = world.once(self.main)
            if ending is not None:
                report.found_after = number
                report.failure = self._conclude_failure(ending, None)
                return

    def sweep(self, report: Report, watch: "_Watch", chosen: ChosenTasks) -> None:
        """Cancels each task at each point where it waits, one in each run of the undisturbed schedule."""
        simulation = self.world.simulation
        self.world.crew.lends = False
        with self.world.choosing(chosen) as numbers:
            ending = self.repeat([], None)
        if ending is not None:
            if ending.error is self.world.choosing_failed:
                raise ending.error
            # There was no time for any run before.
            report.schedules += 1
            report.found_after = report.schedules
            report.failure = self._conclude_failure(ending, None)
            return
        swept = [(task, steps) for task, steps in simulation.steps if task in numbers]
        most = report.schedules + sum(steps for _, steps in swept)
        for task, steps in swept:
            for step in range(1, steps + 1):
                if watch.is_over(most):
                    return
                ending = self.confirmed(self.repeat([], (task, step)), (task, step))
                report.schedules += 1
                if ending is not None:
                    report.found_after = report.schedules
                    report.failure = self._conclude_failure(ending, (task, step))
                    return

    def conclude(self, report: Report) -> None:
        """Takes over what the search knows."""
        distinct, exhausted, report.unseen = self.world.numbers()
        # A run that was interrupted counts as planned, but it has not shown how it ends.
        report.exhausted = exhausted and not report.interrupted
        if exhausted and report.interrupted:
            report.unseen = 1 / (report.schedules + 1)
        report.distinct = max(report.distinct, distinct)
        report.leftovers = list(self.world.leftovers)
        if self.world.foreign.were_seen:
            report.nondeterminism.append("the program starts threads of its own, which run in real time")

    def repeat(
        self,
        planned: list[int],
        cancel: tuple[int, int] | None,
        *,
        bits: int | None = None,
        checked: Token | None = None,
    ) -> Ending | None:
        """Runs one schedule; None if it passes."""
        simulation = self.world.simulation
        simulation.repeat(planned, self.bits if bits is None else bits)
        if cancel is not None:
            simulation.cancel_at(*cancel)
        ending = self.world.once(self.main, checked)
        if ending is not None and cancel is not None and _is_cancellation(ending.error):
            return None
        return ending

    def failure_of(self, ending: Ending, bits: int, cancel: tuple[int, int] | None) -> Failure:
        """The failure of a run whose story was written."""
        deviations = _deviations(ending.choices)
        used = 0
        for kind, _, _ in deviations.values():
            used |= _freedoms.NAMES[kind]
        strongest = _freedoms.strongest(used)
        explanation = _freedoms.SENTENCES[strongest]
        story = self.world.story
        if strongest == _freedoms.STALL and story is not None and story.held_up:
            explanation = f"happens if the loop is {story.held_up}"
        name = _freedoms.name(strongest)
        if cancel is not None:
            name = "cancellation" if strongest == 0 else f"cancellation and {name}"
            explanation = "happens if a task is cancelled where it waits"
        token = Token(bits, self.stall, cancel, deviations, ending.outcome)
        return Failure(ending.error, token.encode(), name, explanation, str(story or ""), story)

    def _conclude_failure(self, ending: Ending, cancel: tuple[int, int] | None) -> Failure:
        """Shrinks a schedule, finds the weakest freedom that suffices, and writes its story."""
        planned = self._shrink(ending, cancel, self.bits)
        bits = self.bits
        if cancel is None:
            bits, planned = self._weaken(ending, planned)
        with self.world.telling():
            ending = self.repeat(planned, cancel, bits=bits) or ending
        return self.failure_of(ending, bits, cancel)

    def _shrink(self, ending: Ending, cancel: tuple[int, int] | None, bits: int) -> list[int]:
        """The alternatives of a schedule with fewer deviations that fails in the same way."""
        best = _taken(ending.choices)
        budget = SHRINKING
        improved = True
        while improved and budget > 0:
            improved = False
            for candidate in _simpler(best):
                budget -= 1
                if budget < 0:
                    break
                shorter = self.repeat(candidate, cancel, bits=bits)
                if shorter is not None and _is_same(shorter.error, ending.error):
                    found = _taken(shorter.choices)
                    if _weight(found) < _weight(best):
                        best = found
                        improved = True
                        break
        return best

    def _weaken(self, ending: Ending, planned: list[int]) -> tuple[int, list[int]]:
        """The weakest set of freedoms in which a short search fails in the same way, and its schedule."""
        again = self.repeat(planned, None)
        used = 0
        for kind, taken, _ in again.choices if again is not None else ending.choices:
            if taken:
                used |= _freedoms.NAMES[kind]
        for rung in _freedoms.LADDER:
            bits = rung & self.bits
            if _freedoms.strongest(bits) >= _freedoms.strongest(used):
                break
            for found in self._runs(bits):
                if found is not None and _is_same(found.error, ending.error):
                    return bits, self._shrink(found, None, bits)
        return self.bits, planned

    def _runs(self, bits: int) -> Iterator[Ending | None]:
        """The first runs of another search."""
        self.world.keep_search()
        for _ in range(CLASSIFYING):
            if not self.world.simulation.begin(bits):
                return
            yield self.world.once(self.main)


class _Watch:
    """Looks at the time that an exploration takes: it shows its progress, and ends when that is used up."""

    def __init__(self, report: Report, world: World, seconds: float | None, shows: bool) -> None:
        self._report = report
        self._world = world
        self._end = None if seconds is None else real_monotonic() + seconds
        self._next_line = real_monotonic() + PROGRESS if shows else float("inf")

    def is_over(self, schedules: int) -> bool:
        """Whether the time is used up; `schedules` is how many there may be."""
        now = real_monotonic()
        if now >= self._next_line:
            self._next_line = now + PROGRESS
            unseen = self._world.simulation.unseen
            print(
                f"ferrio.testing: {self._report.schedules} of at most {schedules} schedules, about {unseen:.1%} unseen",
                file=sys.stderr,
            )
        return self._end is not None and now >= self._end


def _check_leftovers(leftovers: str) -> None:
    if leftovers not in ("report", "fail"):
        raise ValueError(f"leftovers is 'report' or 'fail', not {leftovers!r}")


def _taken(choices: list[Choice]) -> list[int]:
    """The alternatives taken, up to the last that differs from the undisturbed run."""
    taken = [choice[1] for choice in choices]
    while taken and taken[-1] == 0:
        taken.pop()
    return taken


def _deviations(choices: list[Choice]) -> dict[int, Choice]:
    return {index: choice for index, choice in enumerate(choices) if choice[1]}


def _simpler(taken: list[int]) -> Iterator[list[int]]:
    """Schedules with one deviation less, and with a lesser one."""
    places = [index for index, alternative in enumerate(taken) if alternative]
    for index in reversed(places):
        yield [*taken[:index], 0, *taken[index + 1 :]]
    for index in reversed(places):
        # Without the choice itself: what follows may have been the choices of another turn.
        yield [*taken[:index], *taken[index + 1 :]]
    for index in places:
        for alternative in range(1, min(taken[index], 4)):
            yield [*taken[:index], alternative, *taken[index + 1 :]]


def _weight(taken: list[int]) -> tuple[int, int, int]:
    return sum(1 for alternative in taken if alternative), sum(taken), len(taken)


def _is_same(found: BaseException, wanted: BaseException) -> bool:
    return type(found) is type(wanted)


def _is_cancellation(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)
