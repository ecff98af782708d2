"""asyncio's own loop under the tape of an exploration: its `_run_once` is the interpreter's, unmodified.

A selector, a clock and threads that follow a script stand around it. They make the choices of order "loop" (arrivals of
jobs, stalls) where `ferrio.testing` makes them. What the loop then does, a production loop does with these arrivals and
readings of the clock: which timers land in a turn is decided by where the clock stands at the end of the poll alone.
"""

import asyncio
import collections
import contextlib
import heapq
import math
from asyncio import base_events, events
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from unittest import mock

from ferrio.testing import Deadlock, UnhandledError
from ferrio.testing._freedoms import STALL
from ferrio.testing._token import decode

# Their stubs are stricter than what a loop needs here.
BaseEventLoop: Any = base_events.BaseEventLoop
BaseHandle: Any = events.Handle
BaseTimer: Any = events.TimerHandle
BaseTask: Any = asyncio.Task

# As in the simulation: deadlines that differ by less are due together; how far a clock that slips goes on at least.
RESOLUTION = 1e-9
MOMENT = 1e-6
# How much later each reading is: a real clock hardly shows one instant twice, so timers armed later are due later.
TICK = 1e-12

Choice = tuple[str, int, int]


class Tape:
    """The alternatives of a run's choices; what comes after them is undisturbed."""

    def __init__(self, planned: Sequence[int], known: dict[int, Choice] | None = None) -> None:
        self.planned, self.known = planned, known or {}
        self.count = 0
        self.is_over = False

    def choose(self, kind: str, alternatives: int) -> int:
        if alternatives < 2 or self.is_over:
            return 0
        place, self.count = self.count, self.count + 1
        taken = self.planned[place] if place < len(self.planned) else 0
        if place in self.known:
            found = (kind, taken, alternatives)
            assert found == self.known[place], f"choice {place + 1} is {found} here, not {self.known[place]}"
        return min(taken, alternatives - 1)


class Handle(BaseHandle):
    """Tells its loop when it has run."""

    def _run(self) -> None:
        self._loop.run_handle(super()._run)


class Timer(BaseTimer):
    """A timer that also has the deadline of virtual time; of two for one instant the first that was armed is first."""

    def __init__(
        self, when: float, ideal: float, number: int, callback: Any, args: Any, loop: Any, context: Any
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.ideal, self.number = ideal, number

    def __lt__(self, other: "Timer") -> bool:
        return (self._when, self.number) < (other._when, other.number)

    def _run(self) -> None:
        self._loop.run_handle(super()._run)


class Task(BaseTask):
    """A task whose hash is its number, as in a simulation: so sets of tasks have one order wherever they lie."""

    def __new__(cls, coroutine: Any, *, loop: "StockLoop", **options: Any) -> Any:
        task = super().__new__(cls)
        loop.tasks += 1
        task.number = loop.tasks
        return task

    def __hash__(self) -> int:
        return self.number


class Ready(collections.deque[Any]):
    """The loop's queue; a thread may come to append to it as soon as the loop has moved the last due timer to it."""

    def __init__(self, loop: "StockLoop") -> None:
        super().__init__()
        self.loop = loop

    def append(self, handle: Any) -> None:
        super().append(handle)
        if isinstance(handle, Timer):
            self.loop.moved_timer()


class Selector:
    def __init__(self, loop: "StockLoop") -> None:
        self.loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self.loop.poll()
        return []

    def get_map(self) -> dict[Any, Any]:
        return {}


class StockLoop(BaseEventLoop):
    """The surroundings are the tape's."""

    def __init__(self, tape: Tape, stall: float) -> None:
        super().__init__()
        self._selector = Selector(self)
        self._ready = Ready(self)
        self.tasks = 0
        self.set_task_factory(lambda loop, coroutine, **options: Task(coroutine, loop=loop, **options))
        self._clock_resolution = 0.0
        self.tape, self.stall = tape, stall
        self.now = self.read_at = 0.0  # virtual time, and what the program last saw
        self.clock, self.ticks = 0.0, 0  # what the loop's clock showed last, and how often it was read
        self.end_of_poll: float | None = None
        self.readings: list[int] = []
        self.relative: set[int] = set()
        self.left_behind: set[int] = set()
        self.left_at = 0.0
        self.jobs: list[Callable[[], None]] = []
        self.due: list[Timer] = []
        self.to_move = 0
        self.after_timers: list[Callable[[], None]] = []
        self.timers = 0
        self.is_running_callback = False

    # The clock.

    def reading(self) -> float:
        self.ticks += 1
        self.clock = max(self.clock, self.now + self.ticks * TICK)
        return self.clock

    def time(self) -> float:
        if self.end_of_poll is not None:
            end, self.end_of_poll = self.end_of_poll, None
            return end
        if not self.is_running_callback or self.tape.is_over:  # the loop reads it outside of callbacks
            return self.reading()
        self.note_reading()
        if self.stall and self.now > self.read_at and self.tape.choose("stall", 2):
            self.now += self.stall
        self.read_at = self.now
        return self.reading()

    def sleep(self, seconds: float) -> None:
        """`time.sleep`."""
        self.now += seconds

    def note_reading(self) -> None:
        if self.readings[-1:] != [self.timers]:
            self.readings.append(self.timers)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        self.note_reading()
        self.relative.add(self.timers)
        ideal = self.now + delay
        if self.stall and delay > 0:
            passed = sorted(
                {timer.ideal for timer in self.armed() if ideal + RESOLUTION < timer.ideal <= ideal + self.stall}
            )
            if chosen := self.tape.choose("stall", 1 + len(passed)):
                self.now = passed[chosen - 1] - delay + MOMENT
        return self.arm(self.reading() + delay, self.now + delay, callback, args, context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.arm(when, round(when, 10), callback, args, context)

    def arm(self, when: float, ideal: float, callback: Any, args: Any, context: Any) -> Any:
        timer = Timer(when, ideal, self.timers, callback, args, self, context)
        self.timers += 1
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def armed(self) -> list[Timer]:
        return sorted((t for t in self._scheduled if not t._cancelled), key=lambda t: (t.ideal, t.number))

    # Threads.

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        self._check_closed()
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
        future = self.create_future()

        def land() -> None:
            try:
                result, error = function(*args), None
            except Exception as raised:
                result, error = None, raised

            def set_outcome() -> None:
                if future.cancelled():
                    return
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)

            self.call_soon(set_outcome)

        self.jobs.append(land)
        return future

    def run_handle(self, run: Callable[[], None]) -> None:
        place = len(self._ready)
        self.is_running_callback = True
        try:
            run()
        finally:
            self.is_running_callback = False
        self.ran(place)

    def ran(self, place: int) -> None:
        appended = len(self._ready) - place
        if not self.jobs or appended <= 0:
            return
        if chosen := self.tape.choose("arrival", 1 + len(self.jobs) * appended):
            index, position = divmod(chosen - 1, appended)
            after = [self._ready.pop() for _ in range(appended - position)][::-1]
            self.jobs.pop(index)()
            self._ready.extend(after)

    def moved_timer(self) -> None:
        self.to_move -= 1
        while not self.to_move and self.after_timers:
            self.after_timers.pop(0)()

    # The poll.

    def poll(self) -> None:
        before = self.clock
        self.due.clear()
        if self._ready or self._stopping:
            self.land_more()
            self.land_timers()
        else:
            self.poll_idle()
        self.end_of_poll = math.nextafter(max([before, *(timer._when for timer in self.due)]), math.inf)
        self.clock = self.end_of_poll
        self.to_move = len(self.due)
        chosen = {timer.number for timer in self.due}
        for timer in self._scheduled:
            if not timer._cancelled:
                assert (timer._when < self.end_of_poll) == (timer.number in chosen), "no clock lands these timers alone"

    def poll_idle(self) -> None:
        armed = self.armed()
        if self.jobs:
            chosen = self.tape.choose("arrival", len(self.jobs) + bool(armed))
            if chosen < len(self.jobs):
                self.jobs.pop(chosen)()
                self.land_more()
                self.land_timers()
                return
        if not armed:
            raise Deadlock
        before, self.now = self.now, max(self.now, armed[0].ideal)
        self.land_timers(idle_since=before)
        while chosen := self.tape.choose("arrival", 1 + len(self.jobs)):
            self.after_timers.append(self.jobs.pop(chosen - 1))

    def land_more(self) -> None:
        while chosen := self.tape.choose("arrival", 1 + len(self.jobs)):
            self.jobs.pop(chosen - 1)()

    def land_timers(self, idle_since: float | None = None) -> None:
        began = self.now
        armed = [timer for timer in self.armed() if timer.ideal <= began + self.stall + RESOLUTION]
        last: Timer | None = None
        moved = idle_since is not None and idle_since < began
        are_held = False
        while armed:
            first = armed[0]
            if first.ideal <= self.now + RESOLUTION:
                is_left = self.is_left_behind(first)
                may_be_none = idle_since is None and is_left
                may_wait = may_be_none if last is None else self.are_apart(last, first)
                if self.stall and (moved or is_left) and may_wait and self.tape.choose("stall", 2):
                    are_held = True
                    if moved:
                        self.left_behind = {timer.number for timer in armed if timer.ideal <= self.now + RESOLUTION}
                        self.left_at, armed = self.now, []
                    else:
                        armed = [timer for timer in armed if not self.is_left_behind(timer)]
                    continue
            elif are_held or not self.stall or first.ideal > began + self.stall or not self.tape.choose("stall", 2):
                return
            else:
                self.now, moved = first.ideal, True
            self.now = max(self.now, first.ideal)
            self.due.append(armed.pop(0))
            last = first

    def is_left_behind(self, timer: Timer) -> bool:
        return self.now <= self.left_at and timer.number in self.left_behind

    def are_apart(self, earlier: Timer, later: Timer) -> bool:
        if earlier.ideal != later.ideal:
            return True
        low, high = sorted((earlier.number, later.number))
        if not {low, high} & self.relative:
            return False
        return any(low < reading <= high for reading in self.readings)

    # What a loop of the system has.

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(main: Callable[[], Coroutine[Any, Any, Any]], tape: Tape, stall: float) -> Exception | None:
    """Runs a program on asyncio's loop under a tape; gives what it raised."""
    loop = StockLoop(tape, stall)
    unhandled: list[str] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context["message"]))
    error: Exception | None = None
    with contextlib.closing(loop), mock.patch("time.sleep", loop.sleep):
        try:
            loop.run_until_complete(main())
        except Exception as raised:
            error = raised
        if error is None and unhandled:
            error = UnhandledError(unhandled[0])
        tape.is_over = True
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    return error


def replay(main: Callable[[], Coroutine[Any, Any, Any]], token: str) -> Exception | None:
    """Runs the schedule of a token; AssertionError if the loop does not come to the token's choices."""
    schedule = decode(token)
    tape = Tape(schedule.planned(), schedule.deviations)
    error = run(main, tape, schedule.stall if schedule.bits & STALL else 0.0)
    assert tape.count >= len(tape.planned), "the loop has made fewer choices than the tape has"
    return error
