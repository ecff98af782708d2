"""A simulated world: one loop whose surroundings are a `Simulation`, and the runs of a program in it.

The loop, its threads and what is replaced in the process stay for many runs: a run costs little more than the program.
"""

import asyncio
import contextlib
import gc
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from ferrio._ferrio import EventLoop, Simulation, all_tasks
from ferrio.testing import _leftovers as leftovers
from ferrio.testing._calendar import calendar
from ferrio.testing._errors import (
    Deadlock,
    LeftoverError,
    Livelock,
    SwallowedCancellation,
    UnhandledError,
)
from ferrio.testing._foreign import ForeignThreads
from ferrio.testing._leftovers import Descriptors
from ferrio.testing._net.network import Network
from ferrio.testing._net.replacements import guard_loop, of_socket_module
from ferrio.testing._places import name_of_task, place_of_task, waiting_tasks
from ferrio.testing._processes import Processes
from ferrio.testing._real_io import RealIO
from ferrio.testing._recordings import Recorded
from ferrio.testing._replaying import Replays
from ferrio.testing._signals import Signals
from ferrio.testing._sim import Invariants, sim
from ferrio.testing._story import Story
from ferrio.testing._surroundings import (
    EPOCH,
    clocks,
    own_thread,
    random_bytes,
    replaced,
)
from ferrio.testing._threads import Crew
from ferrio.testing._token import Choice, Token
from ferrio.testing._why import is_recording, recording, why

Main = Callable[[], Coroutine[Any, Any, Any]]

# How many objects that the collector looks at are made between two collections, in an exploration.
GARBAGE = 20_000

# A run that takes more turns is taken for one that goes on for ever.
MOST_TURNS = 1_000_000

# What takes the place of the socket module's own where a recording is repeated.
STAND_INS = ("socket", "socketpair")

# How many different leftovers a report lists.
MOST_LEFTOVERS = 20


class Ending(NamedTuple):
    """How a run ended that failed."""

    error: BaseException
    choices: list[Choice]
    outcome: int


class _Void:
    """A run that does not count."""


class World(Replays):
    """The surroundings of simulated programs; a context manager."""

    def __init__(
        self, seed: int = 0, stall: float = 0.0, *, real_io: bool = False, recorded: Recorded | None = None
    ) -> None:
        running = asyncio._get_running_loop()
        if running is not None:
            raise RuntimeError("a simulation cannot begin while a loop runs in this thread")
        self.loop: Any = EventLoop()
        self.debug = self.loop.get_debug()
        self.seed = seed
        self.simulation = Simulation(self, seed, stall, MOST_TURNS)
        self.crew = Crew(self.simulation)
        self.foreign = ForeignThreads(self.loop, self.simulation)
        # The simulation calls these: before a job calls the loop, and while a busy program waits for foreign threads.
        self.pay, self.pause = self.crew.pay, self.foreign.pause
        self.unhandled: list[dict[str, Any]] = []
        self.story: Story | None = None
        #: Which tasks are to be cancelled, and the numbers of those that are.
        self.chooses: Callable[[Any], bool] | None = None
        self.chosen: set[int] = set()
        self.choosing_failed: BaseException | None = None
        #: What a run leaves open counts as a failure.
        self.is_strict = False
        self.looks_at_descriptors = True
        #: Whether garbage is collected at the end of each run, so that what it reports belongs to the run. Otherwise it
        #: is collected between runs, once there is enough of it.
        self.collects = False
        self.collects_between = False
        self.generator = random.Random(seed)
        self.generator_used = False
        self.found: tuple[int, bool, float] | None = None
        self.result: Any = None
        #: What runs have left, each once.
        self.leftovers: dict[str, None] = {}
        self.invariants = Invariants(self.simulation)
        self.network = Network(self.simulation, self.loop, self.note)
        self.processes = Processes(self.simulation, self.loop, self.network, self.note)
        self.signals = Signals(self.simulation, self.loop, self.processes)
        #: What the run repeats.
        self.recorded = recorded
        self.real_io = RealIO(self.loop, self.simulation, self.foreign) if real_io else None

    def __enter__(self) -> "World":
        loop = self.loop
        is_inside = own_thread(loop, self.crew.by_thread.__contains__)
        simulation, recorded = self.simulation, self.recorded
        epoch = EPOCH if recorded is None else recorded.epoch
        everything = [
            # A job of a recording has slept when its outcome landed.
            *clocks(is_inside, self.crew.read, self.crew.sleep if recorded is None else simulation.advance, epoch),
            *calendar(is_inside),
            *random_bytes(is_inside, self._random_bytes),
            self.foreign.replacement(is_inside),
        ]
        if self.recorded is not None:
            # The loop keeps its own methods: what they call for is recorded.
            replaced_too = of_socket_module(self.network, is_inside)
            everything += [*self.crew.replacements(), *(one for one in replaced_too if one[1] in STAND_INS)]
        elif self.real_io is None:
            guard_loop(loop, self.network, self.foreign.open_inbox)
            for name, method in (self.processes.in_loop() | self.signals.in_loop()).items():
                setattr(loop, name, method)
            everything += [*self.crew.replacements(), *of_socket_module(self.network, is_inside)]
            everything += self.signals.replacements(is_inside)
        self.random_state = random.getstate()
        self.next_number = Simulation.restart_numbers(1)
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(replaced(everything))
        if self.recorded is not None:
            simulation.attach_recording(loop, self.recorded.recording)
        else:
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
        if self.recorded is not None:
            random.setstate(self.recorded.random)
            Simulation.restart_numbers(self.recorded.first_task)
        self.foreign.begin_run()
        descriptors = Descriptors() if self.is_strict else None
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
            if not (self.signals.has_interrupted and isinstance(raised, asyncio.CancelledError)):
                error = raised
        if self.recorded is not None:
            error = self.leave_recording(error)
        if self.crew.is_void:
            self.crew.is_void = False
            self.invariants.clear()
            self._clean_up(failed=True)
            return _Void()
        if error is None and self.unhandled:
            error = UnhandledError(self.unhandled[0])
        ending = None
        if error is not None:
            ending = self._ending(error)
        choices = self._choices() if checked is not None else []
        simulation.end()
        self.invariants.clear()
        late = self._clean_up(error is not None, descriptors)
        if checked is not None:
            checked.check(choices)
        return ending or late

    def _drop(self) -> None:
        """Leaves an interrupted run as it is: nothing of it may run any more."""
        self.simulation.choose_no_more()
        for task in all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.processes.end_run()
        self.network.end()
        self.signals.end_run()
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

    def _choices(self) -> list[Choice]:
        return [choice[:3] for choice in self.simulation.choices]

    def _ending(self, error: BaseException) -> Ending:
        return Ending(error, self._choices(), self.simulation.outcome)

    def _clean_up(self, failed: bool, descriptors: Descriptors | None = None) -> Ending | None:
        """Ends what the run has left, as `asyncio.run` does; if that shows a fault, gives how the run ended."""
        loop = self.loop
        left = all_tasks(loop) if Simulation.has_tasks() or leftovers.has_other_tasks() else ()
        ending: Ending | None = None
        if (left or descriptors is not None) and not failed:
            ending = self._ending(Deadlock())
        self.simulation.choose_no_more()
        if failed:
            self.crew.abandon()
        found: list[str] = []
        error: BaseException | None = None
        if left:
            found = leftovers.of_tasks(left, self.network)
            for task in left:
                task.cancel()
            self.run_a_turn()
            is_stuck = False
            try:
                loop.run_until_complete(_settle(left))
            except (Deadlock, Livelock):
                is_stuck = True
            except (asyncio.CancelledError, TimeoutError):
                pass
            except KeyboardInterrupt:
                raise
            except BaseException as raised:
                # SystemExit of a task, say.
                error = raised
            # What follows may take as many turns again.
            self.simulation.choose_no_more()
            if is_stuck and not failed:
                error = self._swallowed(left)
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
        if descriptors is not None and not failed:
            with contextlib.suppress(Deadlock, Livelock):
                loop.run_until_complete(_few_turns())
            found += [*leftovers.of_locks(), *leftovers.of_network(self.network)]
            found += [f"{child.process} has not ended" for child in self.processes.running.values()]
        if loop.get_debug() is not self.debug:
            loop.set_debug(self.debug)
        if loop.get_task_factory() is not None:
            loop.set_task_factory(None)
        self._close()
        self.processes.end_run()
        self.network.end()
        self.signals.end_run()
        Simulation.clear(loop)
        self.unhandled.clear()
        if descriptors is not None and not failed and self.looks_at_descriptors:
            found += descriptors.left()
        if found and not failed:
            self._note_leftovers(found)
            if descriptors is not None and error is None:
                error = LeftoverError(found)
        if self.collects_between:
            self._collect_between()
        return ending._replace(error=error) if ending is not None and error is not None else None

    def _close(self) -> None:
        """Closes what the run has left open of children and, if it has left its recording, of connections."""
        if self.processes.close() | (self.has_left and self.close_connections()):
            self.run_a_turn()
            with contextlib.suppress(Deadlock, Livelock):
                self.loop.run_until_complete(_few_turns())

    def _note_leftovers(self, found: list[str]) -> None:
        for text in found:
            if len(self.leftovers) < MOST_LEFTOVERS:
                self.leftovers[text] = None

    def _swallowed(self, tasks: "set[asyncio.Task[Any]]") -> Exception | None:
        """Tasks that were cancelled and went on; without other programs, which would have ended by themselves."""
        had_others = self.network.has_others
        stuck = [task for task in tasks if not task.done()]
        if not stuck or had_others:
            return None
        return SwallowedCancellation(sorted(f"{name_of_task(task)} waits at {place_of_task(task)}" for task in stuck))

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

    def has_faulty_garbage(self) -> bool:
        """Whether garbage of the runs reports what nobody has handled."""
        self.unhandled.clear()
        gc.collect()
        is_faulty = bool(self.unhandled)
        self.unhandled.clear()
        return is_faulty

    def _note_unhandled(self, loop: Any, context: dict[str, Any]) -> None:
        self.unhandled.append(context)

    def _random_bytes(self, size: int) -> bytes:
        self.generator_used = True
        return self.generator.randbytes(size)

    def nothing_left(self) -> None:
        """The simulation has nothing to do: waits for foreign threads, or raises Deadlock."""
        loop = self.loop
        if self.foreign.wait():
            return
        self.foreign.check_gone()
        # With what is recorded while the story is written, circles and holders are known.
        lines = list(why(loop)) if is_recording() else waiting_tasks(all_tasks(loop))
        lines += [f"a job of {worker.thread.name} waits for the loop" for worker in self.crew.parked]
        raise Deadlock("nothing is left that could go on:\n" + "\n".join(f"  {line}" for line in lines))

    def wait(self, seconds: float) -> None:
        """Waits for foreign threads as long as the next timer allows, in real time."""
        self.foreign.wait(seconds)

    def livelock(self) -> None:
        """The run has taken too many turns."""
        raise Livelock(f"the program has not ended after {MOST_TURNS} turns of the loop")

    def note(self, text: str) -> None:
        """Notes what happens on the network."""
        if self.story is not None:
            self.story.note(text)

    def tell(self, what: str, seconds: float, subject: Any, chain: int) -> None:
        """Notes a choice that differs from the undisturbed run; `chain` is that of something pending."""
        if self.story is not None:
            self.story.tell(what, seconds, subject, chain)

    def note_step(self, task: Any) -> None:
        """Notes a step of a task."""
        if self.chooses is not None:
            try:
                if self.chooses(task):
                    self.chosen.add(Simulation.number(task))
            except BaseException as error:
                # It is not asked again.
                self.chooses, self.choosing_failed = None, error
                raise
        if self.story is not None:
            self.story.note_step(task)

    @contextlib.contextmanager
    def choosing(self, chooses: Callable[[Any], bool]) -> Iterator[set[int]]:
        """Gives the numbers of the tasks of the run that follows which a function chooses."""
        self.chooses = chooses
        self.simulation.tracing = True
        try:
            yield self.chosen
        finally:
            self.simulation.tracing = False
            self.chooses = None

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Writes the story of the run that follows, and records who makes tasks and takes locks."""
        self.story = Story(self.loop, self.simulation)
        self.simulation.tracing = True
        try:
            with recording():
                yield
        finally:
            self.simulation.tracing = False


async def _close_generators(generators: list[Any]) -> None:
    await asyncio.gather(*(generator.aclose() for generator in generators), return_exceptions=True)


async def _few_turns() -> None:
    """As many as `asyncio.run` takes at least when a program has ended: transports that were closed go."""
    for _ in range(4):
        await asyncio.sleep(0)


async def _settle(tasks: set["asyncio.Task[Any]"]) -> None:
    waiting: Awaitable[Any] = asyncio.gather(*tasks, return_exceptions=True)
    await waiting


# The generator behind the module's functions, without the detour through Python.
_GENERATOR: Any = random._inst
_reseed = super(random.Random, _GENERATOR).seed
