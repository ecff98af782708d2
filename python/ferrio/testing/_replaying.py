"""What a world does that repeats a recording: it says where the program leaves it, and plays Ctrl-C and lookups."""

import contextlib
from typing import Any

from ferrio._ferrio import Simulation, _server_of, _watched_by, all_tasks
from ferrio.testing._errors import Deadlock, Drift, EndOfRecording, Livelock
from ferrio.testing._foreign import ForeignThreads
from ferrio.testing._net.network import Network
from ferrio.testing._net.replacements import guard_loop
from ferrio.testing._places import name_of_task, place_of_task, waiting_tasks
from ferrio.testing._processes import Processes
from ferrio.testing._recordings import Recorded, changes, decode_lookup
from ferrio.testing._signals import Signals
from ferrio.testing._why import is_recording, why


class Replays:
    """The part of a world that a recording concerns."""

    loop: Any
    simulation: Simulation
    signals: Signals
    network: Network
    processes: Processes
    foreign: ForeignThreads
    #: What the run repeats.
    recorded: Recorded | None
    #: The program has left it.
    has_left = False

    def leave_recording(self, error: BaseException | None) -> BaseException | None:
        """The program has ended; gives what it has ended with, which may be that it has left its recording."""
        if not isinstance(error, Drift | EndOfRecording):
            try:
                self.simulation.check_recording(None)
            except (Drift, EndOfRecording) as left:
                left.__cause__ = error
                error = left
        self.simulation.leave_recording(self.loop)
        # What the program does while it is ended reaches nothing real.
        guard_loop(self.loop, self.network, self.foreign.open_inbox)
        for name, method in self.processes.in_loop().items():
            setattr(self.loop, name, method)
        self.has_left = isinstance(error, Drift | EndOfRecording)
        return error

    def run_a_turn(self) -> None:
        """Runs what is ready when a program has left its recording: that may stop the loop, as its end would have."""
        if not self.has_left:
            return
        self.loop.call_soon(self.loop.stop)
        with contextlib.suppress(Deadlock, Livelock):
            self.loop.run_forever()

    def close_connections(self) -> bool:
        """Closes what the program had no chance to close, because it has left its recording; whether there was any."""
        found = _watched_by(self.loop)
        for each in found:
            server = _server_of(each)
            close = getattr(each, "abort", None) or getattr(each if server is None else server, "close", None)
            if close is not None:
                close()
        return bool(found)

    def left_recording(self, turn: int, entry: int, expected: str, came: str, task: Any) -> None:
        """The program does something else than is recorded."""
        assert self.recorded is not None
        if not came:
            lines = list(why(self.loop)) if is_recording() else waiting_tasks(all_tasks(self.loop))
            text = f"the recording ends in turn {turn} of the loop (entry {entry}), because {expected}"
            raise EndOfRecording("\n".join([f"{text}; then waits:", *(f"  {line}" for line in lines)]))
        who = f", in {name_of_task(task)} at {place_of_task(task)}" if task is not None else ""
        text = f"the program has left the recording in turn {turn} of the loop (entry {entry})"
        notes = "".join(f"\n  {note}" for note in changes(self.recorded))
        raise Drift(f"{text}:\n  expected: {expected}\n  came: {came}{who}{notes}")

    def interrupt(self, is_running: bool) -> None:
        """Ctrl-C, as asyncio's runner takes it; `is_running` if the main task was running then."""
        self.signals.has_interrupted = True
        # A task that runs is cancelled where it waits next.
        if is_running:
            self.loop.call_soon(_nothing)
        self.signals.cancel_main()
        if not is_running:
            self.loop.call_soon(_nothing)

    def found_by_lookup(self, text: str) -> Any:
        """What a name lookup has found when that was recorded."""
        return decode_lookup(text)


def _nothing() -> None: ...
