"""Signals to a simulated program: they land in a poll that the simulation chooses, as the loop's waker reports them.

The process's own handlers stay as they are. A signal that the program has no handler for does what it would do: SIGINT
cancels the program, as `asyncio.run` does; others would end the process, which fails the run. If the program has sent
it to itself, as servers do that have handled a signal and then let it have its effect, it only ends the run.
"""

import asyncio
import contextvars
import inspect
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Simulation
from ferrio.testing._errors import RealIOError
from ferrio.testing._processes import IGNORED, Processes

_UNCATCHABLE = (signal.SIGKILL, signal.SIGSTOP)


class Signals:
    """What the program of a run does about signals."""

    def __init__(self, simulation: Simulation, loop: Any, processes: Processes) -> None:
        self._simulation = simulation
        self._loop = loop
        self._processes = processes
        self._handlers: dict[int, tuple[Callable[..., object], tuple[Any, ...], contextvars.Context]] = {}
        self._functions: dict[int, Any] = {}
        self._sent = 0
        #: The program was interrupted, as by Ctrl-C.
        self.has_interrupted = False

    def end_run(self) -> None:
        """The run is over."""
        if self._handlers or self._functions or self._sent:
            self._handlers.clear()
            self._functions.clear()
            self._sent = 0
            self.has_interrupted = False

    def send(self, number: int, within: float, *, by_itself: bool = False) -> None:
        """Send a signal to the program; it lands in at most `within` seconds."""
        number = _valid(number)
        self._sent += 1
        # Several signals of the same number may overtake each other no more than others do: one chain.
        self._simulation.send(_Sent(self, number, by_itself), (1 << 40) + number, self._simulation.now, within)

    def receive(self, number: int, by_itself: bool) -> None:
        """A signal has landed."""
        handler = self._handlers.get(number)
        if handler is not None:
            callback, arguments, context = handler
            self._loop.call_soon(callback, *arguments, context=context)
            return
        function = self._functions.get(number, signal.SIG_DFL)
        is_default = function in (signal.SIG_DFL, signal.default_int_handler)
        if function == signal.SIG_IGN or (is_default and number in IGNORED):
            return
        if not is_default:
            self._loop.call_soon(function, number, None)
        elif number == signal.SIGINT or by_itself:
            self.has_interrupted = True
            self._loop.call_soon(self.cancel_main)
        else:
            name = signal.Signals(number).name
            self._loop.call_exception_handler(
                {"message": f"{name} ends the process: the program has no handler for it"}
            )

    def in_loop(self) -> dict[str, Callable[..., Any]]:
        """The loop's methods."""

        def add_signal_handler(sig: Any, callback: Callable[..., object], *args: Any) -> None:
            if inspect.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
                raise TypeError("coroutines cannot be used with add_signal_handler()")
            number = _valid(sig)
            if number in _UNCATCHABLE:
                raise RuntimeError(f"sig {number} cannot be caught")
            self._handlers[number] = (callback, args, contextvars.copy_context())

        def remove_signal_handler(sig: Any) -> bool:
            return self._handlers.pop(_valid(sig), None) is not None

        return {"add_signal_handler": add_signal_handler, "remove_signal_handler": remove_signal_handler}

    def replacements(self, is_inside: Callable[[], bool]) -> list[tuple[Any, str, Any]]:
        """Functions of `os` and `signal`, for as long as the simulation lasts."""
        kill, set_handler, handler_of = os.kill, signal.signal, signal.getsignal
        raise_signal, pthread_kill = signal.raise_signal, signal.pthread_kill

        def kill_simulated(pid: int, number: int, /) -> None:
            if not is_inside():
                kill(pid, number)
            elif pid == os.getpid():
                if number:
                    self.send(number, 0.0, by_itself=True)
            elif not self._processes.kill(pid, number):
                raise RealIOError(f"os.kill({pid}, {number!r}) of a process that is none of the simulation's")

        def raise_simulated(number: int, /) -> None:
            if is_inside():
                self.send(number, 0.0, by_itself=True)
            else:
                raise_signal(number)

        def kill_thread(thread: int, number: int) -> None:
            if is_inside() and thread == threading.main_thread().ident and number:
                self.send(number, 0.0, by_itself=True)
            else:
                pthread_kill(thread, number)

        def set_simulated(number: int, handler: Any, /) -> Any:
            if not is_inside():
                return set_handler(number, handler)
            number = _valid(number)
            if number in _UNCATCHABLE:
                raise OSError(22, "Invalid argument")
            if not callable(handler) and handler not in (signal.SIG_IGN, signal.SIG_DFL):
                raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
            before = handler_simulated(number)
            if handler is handler_of(number):
                self._functions.pop(number, None)
            else:
                self._functions[number] = handler
            return before

        def handler_simulated(number: int, /) -> Any:
            if is_inside() and number in self._functions:
                return self._functions[number]
            return handler_of(number)

        return [
            (os, "kill", kill_simulated),
            (signal, "raise_signal", raise_simulated),
            (signal, "pthread_kill", kill_thread),
            (signal, "signal", set_simulated),
            (signal, "getsignal", handler_simulated),
        ]

    def cancel_main(self) -> None:
        """Cancels the program's main task."""
        main = Simulation.outermost(self._loop)
        if isinstance(main, asyncio.Future):
            main.cancel()


class _Sent:
    """A signal that is on its way."""

    def __init__(self, signals: Signals, number: int, by_itself: bool) -> None:
        self.signals = signals
        self.number = number
        self.by_itself = by_itself
        self.label = signal.Signals(number).name

    def land(self) -> None:
        self.signals.receive(self.number, self.by_itself)


def _valid(sig: Any) -> int:
    """asyncio's `_check_signal`."""
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")
    return int(sig)
