"""`sim`: the simulation that runs, as its program sees it."""

import asyncio
import inspect
import os
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Simulation
from ferrio.testing._errors import InvariantError
from ferrio.testing._net import Network
from ferrio.testing._processes import Fake, scripted

Predicate = Callable[[], Any]


class Invariants:
    """What must hold in a run: always from when it was said, or at some time before a deadline."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._always: list[tuple[Predicate, str]] = []
        self._awaited: dict[Predicate, str] = {}
        self._overdue: str | None = None

    def clear(self) -> None:
        """The run is over."""
        if self._always or self._awaited or self._overdue:
            self._always.clear()
            self._awaited.clear()
            self._overdue = None

    def always(self, predicate: Predicate, text: str) -> None:
        self._always.append((predicate, text))
        self._simulation.has_invariants = True
        self.check()

    def eventually(self, predicate: Predicate, within: float, text: str) -> None:
        self._awaited[predicate] = text
        self._simulation.has_invariants = True
        asyncio.get_running_loop().call_later(within, self._is_overdue, predicate, within)
        self.check()

    def check(self) -> None:
        """Raise InvariantError if one does not hold."""
        if self._overdue is not None:
            raise InvariantError(self._overdue)
        for predicate, text in self._always:
            if not predicate():
                raise InvariantError(f"does not hold any more: {text}")
        for predicate in [predicate for predicate in self._awaited if predicate()]:
            del self._awaited[predicate]

    def check_at_end(self) -> None:
        """The program has ended: what it has waited for will not come."""
        for predicate, text in self._awaited.items():
            if not predicate():
                raise InvariantError(f"has not come when the program ended: {text}")

    def _is_overdue(self, predicate: Predicate, within: float) -> None:
        text = self._awaited.get(predicate)
        if text is not None and not predicate():
            self._overdue = f"has not come within {within:g} s: {text}"


class Sim:
    """The running simulation. Its attributes are there only while a program runs in one."""

    def __init__(self) -> None:
        self._world: Any = None

    def _enter(self, world: Any) -> Any:
        before, self._world = self._world, world
        return before

    @property
    def net(self) -> Network:
        """The simulated network: hosts, links and their faults."""
        network: Network = self._simulated("networks").network
        return network

    def program(
        self,
        program: "str | bytes | os.PathLike[str] | Callable[[list[str]], Any]",
        fake: Fake | None = None,
        *,
        stdout: bytes = b"",
        stderr: bytes = b"",
        status: int = 0,
        after: float = 0.0,
        error: Exception | None = None,
    ) -> None:
        """Let a fake stand for a program that `create_subprocess_exec` or `create_subprocess_shell` starts.

        `program` is its name or path, a shell's whole command, or a predicate of the list of arguments. `fake` is a
        coroutine function that gets a FakeProcess, with `args`, `stdin`, `stdout` and `stderr`, and gives the exit
        status. Without it the program waits `after` seconds, writes `stdout` and `stderr` and ends with `status`; with
        `error` it cannot be started.
        """
        world = self._simulated("children")
        world.processes.declare(program, fake or scripted(stdout, stderr, status, after, error))

    def signal(self, number: int, within: float = 0.05) -> None:
        """Send the program a signal, which lands in at most `within` seconds, when an exploration chooses.

        So do signals by `os.kill` of the process itself and `signal.raise_signal`, at once. Handlers are those of
        `loop.add_signal_handler` and `signal.signal`, which are kept apart from the process's in a simulation.
        """
        if not within >= 0:
            raise ValueError(f"within is a number of seconds, not {within!r}")
        self._simulated("signals").signals.send(number, within)

    def _simulated(self, what: str) -> Any:
        world = self._running()
        if world.real_io is not None:
            raise RuntimeError(f"with io='real' there are no simulated {what}")
        return world

    def always(self, predicate: Predicate, text: str | None = None) -> None:
        """From now on `predicate()` must be true after each callback of the loop and each step of a task."""
        _check(predicate)
        self._running().invariants.always(predicate, text or _described(predicate))

    def eventually(self, predicate: Predicate, within: float, text: str | None = None) -> None:
        """`predicate()` must be true at some time in the next `within` seconds, and before the program ends."""
        _check(predicate)
        self._running().invariants.eventually(predicate, within, text or _described(predicate))

    def _running(self) -> Any:
        if self._world is None or asyncio._get_running_loop() is not self._world.loop:
            raise RuntimeError("ferrio.testing.sim is to be used by a program that runs in a simulation")
        return self._world


def _check(predicate: Predicate) -> None:
    # What a coroutine function gives is true, whatever it would find.
    if not callable(predicate) or inspect.iscoroutinefunction(predicate):
        raise TypeError(f"a predicate is a function that gives whether something holds, not {predicate!r}")


def _described(predicate: Predicate) -> str:
    code = getattr(predicate, "__code__", None)
    if code is None:
        return repr(predicate)
    return f"{predicate.__qualname__} at {code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno}"


#: The simulation that runs the calling program.
sim = Sim()
