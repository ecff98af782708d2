"""A simulated world: one loop whose surroundings are a `Simulation`, and the runs of a program in it.

The loop, its threads and what is replaced in the process stay for many runs: a run costs little more than the program.
"""

import asyncio
import contextlib
import gc
import random
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, NamedTuple

from ferrio._ferrio import EventLoop, Simulation, _listed_tasks, all_tasks
from ferrio.testing._calendar import calendar
from ferrio.testing._errors import Deadlock, Livelock, UnhandledError
from ferrio.testing._net.network import Network
from ferrio.testing._net.replacements import guard_loop, of_socket_module
from ferrio.testing._places import describe_handle, name_of_task, place_of_task, waiting_tasks
from ferrio.testing._real_io import RealIO
from ferrio.testing._sim import Invariants, sim
from ferrio.testing._surroundings import (
    clocks,
    own_thread,
    random_bytes,
    real_monotonic,
    real_sleep,
    refuse_io,
    replaced,
)
from ferrio.testing._threads import Crew, _start
from ferrio.testing._token import Choice, Token

Main = Callable[[], Coroutine[Any, Any, Any]]

# How many objects that the collector looks at are made between two collections, in an exploration.
GARBAGE = 20_000

# A run that takes more turns is taken for one that goes on for ever.
MOST_TURNS = 1_000_000

# How long, in seconds, a world with nothing else to do waits for a foreign thread.
PATIENCE = 30.0


class Ending(NamedTuple):
    """How a run ended that failed."""

    error: BaseException
    choices: list[Choice]
    outcome: int


class _Void:
    """A run that does not count."""


class World:
    """The surroundings of simulated programs; a context manager."""

    def __init__(self, seed: int = 0, stall: float = 0.0, *, real_io: bool = False) -> None:
        running = asyncio._get_running_loop()
        if running is not None:
            raise RuntimeError("a simulation cannot begin while a loop runs in this thread")
        self.loop: Any = EventLoop()
        self.debug = self.loop.get_debug()
        self.seed = seed
        self.simulation = Simulation(self, seed, stall, MOST_TURNS)
        self.crew = Crew(self.simulation)
        self.foreign: list[threading.Thread] = []
        self.unhandled: list[dict[str, Any]] = []
        self.story: list[str] | None = None
        self.held_up = ""
        #: Whether garbage is collected at the end of each run, so that what it reports belongs to the run. Otherwise it
        #: is collected between runs, once there is enough of it.
        self.collects = False
        self.collects_between = False
        self.generator = random.Random(seed)
        self.generator_used = False
        self.saw_foreign = False
        self.found: tuple[int, bool, float] | None = None
        self.result: Any = None
        self.leftovers: list[str] = []
        self.invariants = Invariants(self.simulation)
        self.network = Network(self.simulation, self.loop, self.note)
        self.real_io = RealIO(self.loop, self.simulation, self.foreign) if real_io else None

    def __enter__(self) -> "World":
        loop = self.loop
        is_inside = own_thread(loop, self.crew.by_thread.__contains__)
        simulation = self.simulation
        everything = [
            *clocks(is_inside, lambda: simulation.now, simulation.advance),
            *calendar(is_inside),
            *random_bytes(is_inside, self._random_bytes),
            (threading.Thread, "start", self._watch_threads(is_inside)),
        ]
        if self.real_io is None:
            refuse_io(loop)
            guard_loop(loop, self.network)
            everything += [*self.crew.replacements(), *of_socket_module(self.network, is_inside)]
        self.random_state = random.getstate()
        self.next_number = Simulation.restart_numbers(1)
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(replaced(everything))
        simulation.attach(loop, real_io=self.real_io is not None)
        self.outer = sim._enter(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sim._enter(self.outer)
        self.stack.close()
        random.setstate(self.random_state)
        self.crew.close()
        Simulation.detach(self.loop)
        Simulation.restart_numbers(max(self.next_number, Simulation.restart_numbers(1)))
        self.loop.close()

    def run(self, job: Any, chain: int) -> None:
        """Lets a job run in its thread; the simulation has chosen that its outcome lands now."""
        self.crew.run(job, chain)

    def land(self, what: Any, chain: int) -> None:
        """Lets something land that came by the network."""
        what.land()

    def look_at_network(self) -> None:
        """Takes what was written to simulated sockets."""
        self.network.look()

    def is_pending(self) -> bool:
        """Whether something real may still happen."""
        return self.real_io is not None and self.real_io.is_pending()

    def may_be_called(self) -> bool:
        """Whether somebody may still call a program that waits for nothing in particular."""
        return self.real_io is not None and self.real_io.may_be_called()

    def check_invariants(self) -> None:
        """A callback has run."""
        self.crew.check_run()
        self.invariants.check()

    def once(self, main: Main, checked: Token | None = None) -> Ending | None:
        """Runs the program once, in the run that the simulation has begun; None if it passed."""
        while True:
            ending = self._once(main, checked)
            if not isinstance(ending, _Void):
                return ending
            self.simulation.again()

    def _once(self, main: Main, checked: Token | None) -> "Ending | _Void | None":
        loop, simulation = self.loop, self.simulation
        _reseed(self.seed)
        _GENERATOR.gauss_next = None
        if self.generator_used:
            self.generator_used = False
            self.generator.seed(self.seed)
        if self.foreign:
            self.foreign.clear()
        loop.set_exception_handler(self._note_unhandled)
        error: BaseException | None = None
        try:
            self.result = loop.run_until_complete(main())
            self.invariants.check_at_end()
            if self.collects:
                gc.collect()
        except KeyboardInterrupt:
            self._drop()
            raise
        except BaseException as raised:
            error = raised
        if self.crew.is_void:
            self.crew.is_void = False
            self.invariants.clear()
            self._clean_up(failed=True)
            return _Void()
        if error is None and self.unhandled:
            error = UnhandledError(self.unhandled[0])
        ending = None
        if error is not None:
            choices = [choice[:3] for choice in simulation.choices]
            ending = Ending(error, choices, simulation.outcome)
        simulation.end()
        self.invariants.clear()
        if checked is not None:
            choices = [choice[:3] for choice in simulation.choices]
        self._clean_up(error is not None)
        if checked is not None:
            checked.check(choices)
        return ending

    def _drop(self) -> None:
        """Leaves an interrupted run as it is: nothing of it may run any more."""
        self.simulation.choose_no_more()
        for task in all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.network.end()
        Simulation.clear(self.loop)
        self.unhandled.clear()

    def keep_search(self) -> None:
        """Begins another search, and keeps the numbers of the one that found something."""
        if self.found is None:
            simulation = self.simulation
            self.found = simulation.distinct, simulation.exhausted, simulation.unseen
        self.simulation.search(self.seed)

    def numbers(self) -> tuple[int, bool, float]:
        """How many schedules differed, whether these were all, and the estimate of what is unseen."""
        simulation = self.simulation
        return self.found or (simulation.distinct, simulation.exhausted, simulation.unseen)

    def _clean_up(self, failed: bool) -> None:
        """Ends what the run has left, as `asyncio.run` does."""
        loop = self.loop
        self.simulation.choose_no_more()
        if failed:
            self.crew.abandon()
        left = all_tasks(loop) if Simulation.has_tasks() or has_other_tasks() else ()
        if left:
            self.leftovers = [name_of_task(task) for task in left if not _is_cancelling(task)]
            for task in left:
                task.cancel()
            with contextlib.suppress(Deadlock, Livelock, asyncio.CancelledError):
                loop.run_until_complete(_settle(left))
            for task in left:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                elif not task.cancelled():
                    task.exception()
        self.crew.abandon()
        if self.real_io is not None and loop._default_executor is not None:
            loop.run_until_complete(loop.shutdown_default_executor())
        generators = Simulation.generators(loop)
        if generators:
            with contextlib.suppress(Deadlock, Livelock):
                loop.run_until_complete(_close_generators(list(generators)))
        if loop.get_debug() is not self.debug:
            loop.set_debug(self.debug)
        if loop.get_task_factory() is not None:
            loop.set_task_factory(None)
        self.network.end()
        Simulation.clear(loop)
        self.unhandled.clear()
        if self.collects_between:
            self._collect_between()

    @contextlib.contextmanager
    def collecting_between_runs(self) -> Iterator[None]:
        """Collects garbage between runs only: what an object of one run does when it is freed is no part of another."""
        was_enabled = gc.isenabled()
        gc.disable()
        self.collects_between = True
        try:
            yield
        finally:
            self.collects_between = False
            if was_enabled:
                gc.enable()

    def _collect_between(self) -> None:
        if gc.get_count()[0] < GARBAGE:
            return
        gc.collect(0)
        if self.unhandled:
            # An earlier run has failed, but which one is not known. If it happens again, it is.
            self.unhandled.clear()
            self.collects = True

    def _note_unhandled(self, loop: Any, context: dict[str, Any]) -> None:
        self.unhandled.append(context)

    def _random_bytes(self, size: int) -> bytes:
        self.generator_used = True
        return self.generator.randbytes(size)

    def nothing_left(self) -> None:
        """The simulation has nothing to do: waits for foreign threads, or raises Deadlock."""
        loop = self.loop
        if self._wait_for_foreign(PATIENCE):
            return
        if any(thread.is_alive() for thread in self.foreign):
            names = ", ".join(thread.name for thread in self.foreign if thread.is_alive())
            raise TimeoutError(f"nothing has happened for {PATIENCE:g} s while other threads are at work: {names}")
        lines = waiting_tasks(all_tasks(loop))
        lines += [f"a job of {worker.thread.name} waits for the loop" for worker in self.crew.parked]
        raise Deadlock("nothing is left that could go on:\n" + "\n".join(f"  {line}" for line in lines))

    def wait(self, seconds: float) -> None:
        """Waits for foreign threads as long as the next timer allows, in real time."""
        self._wait_for_foreign(seconds)

    def _wait_for_foreign(self, seconds: float) -> bool:
        deadline = real_monotonic() + seconds
        while any(thread.is_alive() for thread in self.foreign):
            if Simulation.ready(self.loop) or real_monotonic() >= deadline:
                break
            real_sleep(0.0005)
        return Simulation.ready(self.loop) > 0

    def livelock(self) -> None:
        """The run has taken too many turns."""
        raise Livelock(f"the program has not ended after {MOST_TURNS} turns of the loop")

    def _watch_threads(self, is_inside: Callable[[], bool]) -> Callable[[threading.Thread], None]:
        def start(thread: threading.Thread) -> None:
            if is_inside():
                self.foreign.append(thread)
                self.saw_foreign = True
                self.simulation.note_foreign_thread()
            _start(thread)

        return start

    def note(self, text: str) -> None:
        """Notes what happens on the network."""
        if self.story is not None:
            self.story.append(f"{self.simulation.now * 1e3:10.3f} ms  {text}")

    def tell(self, what: str, seconds: float, subject: Any) -> None:
        """Notes a choice that differs from the undisturbed run."""
        if self.story is None:
            return
        # No set: that would make the choice about the order of sets in runs with a story only.
        tasks = [task for task in _listed_tasks() if task.get_loop() is self.loop]
        time = f"{self.simulation.now * 1e3:10.3f} ms"
        current = asyncio.current_task(self.loop) if asyncio._get_running_loop() else None
        if what == "is cancelled":
            text = f"{name_of_task(subject)} is cancelled at {place_of_task(subject)}"
        elif what == "slips":
            where = f"{name_of_task(current)} at {place_of_caller()}" if current is not None else "a callback"
            self.held_up = self.held_up or f"held up for {_length(seconds)} at {place_of_caller()}"
            text = f"the loop is held up for {_length(seconds)} before {where} arms its timer"
        elif what == "are iterated in reverse":
            text = f"sets of tasks {what}, the last one made first"
        elif subject is None:
            text = f"what was ready {what}" if what.startswith("runs") else f"a pending result {what}"
        elif hasattr(subject, "label"):
            text = f"{subject.label} {what}"
        elif type(subject).__name__ in ("Job", "_Worker"):
            text = f"the result of a job {what}"
        else:
            text = f"{describe_handle(subject, tasks)} {what}"
            if what.startswith(("is due", "waits")):
                self.held_up = (
                    self.held_up or f"held up for {_length(seconds)} before {describe_handle(subject, tasks)}"
                )
                text += f": the loop is held up for {_length(seconds)}"
        self.story.append(f"{time}  {text}")


def _length(seconds: float) -> str:
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def place_of_caller() -> str:
    """`file:line` of the program's code that runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and "ferrio/testing/" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None:
        return "?"
    return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"


def _is_cancelling(task: "asyncio.Task[Any]") -> bool:
    return task.cancelling() > 0


def has_other_tasks() -> bool:
    """Whether a task that is none of ferrio's may be pending. From 3.14 on only `all_tasks` can tell."""
    tasks: Any = asyncio.tasks
    scheduled = getattr(tasks, "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks", None)
    if sys.version_info >= (3, 14) or scheduled is None:
        return True
    return bool(scheduled.data or getattr(tasks, "_eager_tasks", None))


async def _close_generators(generators: list[Any]) -> None:
    await asyncio.gather(*(generator.aclose() for generator in generators), return_exceptions=True)


async def _settle(tasks: set["asyncio.Task[Any]"]) -> None:
    waiting: Awaitable[Any] = asyncio.gather(*tasks, return_exceptions=True)
    await waiting


# The generator behind the module's functions, without the detour through Python.
_GENERATOR: Any = random._inst
_reseed = super(random.Random, _GENERATOR).seed
