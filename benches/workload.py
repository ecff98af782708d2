"""How a workload is written, found and measured inside its own process.

A workload is an async function, registered with `@workload`, that does a number of operations and returns that number,
or a `Rate` if another process measured the time; it checks its own result. The workloads of one file belong to one
section of asyncio's manual.
"""

import asyncio
import importlib
import importlib.util
import statistics
import time
from collections.abc import Awaitable, Callable

SECTIONS = (
    "runners",
    "tasks",
    "futures",
    "waiting",
    "streams",
    "synchronization",
    "subprocesses",
    "queues",
    "scheduling",
    "connections",
    "servers",
    "unix_sockets",
    "datagrams",
    "tls",
    "sendfile",
    "descriptors",
    "sockets",
    "names",
    "pipes",
    "signals",
    "executors",
    "programs",
    "anyio",
)
# Sections that measure a library, and are left out where it is not installed.
LIBRARIES = ("anyio",)
WORKLOADS: dict[str, Callable[[], Awaitable[float]]] = {}


class Rate(float):
    """Operations per second, as measured by the peer."""


def workload(function: Callable[[], Awaitable[float]]) -> Callable[[], Awaitable[float]]:
    section = function.__module__.rpartition(".")[2]
    WORKLOADS[f"{section}.{function.__name__}"] = function
    return function


def load() -> dict[str, Callable[[], Awaitable[float]]]:
    libraries = [library for library in LIBRARIES if importlib.util.find_spec(library)]
    for section in [*SECTIONS, *libraries]:
        importlib.import_module(f"{__package__}.{section}")
    return WORKLOADS


def loop_factory(implementation: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Selects stock asyncio, a module's loop under stock asyncio, or `ferrio`: its loop and everything above it.

    `ferrio-watched` has the watchdog on, `ferrio-inspected` all of inspection.
    """
    if implementation == "asyncio":
        return asyncio.SelectorEventLoop
    name, _, mode = implementation.partition("-")
    module = importlib.import_module(name)
    if name == "ferrio" and mode != "loop":
        module.install()
    if mode == "watched":
        importlib.import_module("ferrio.inspect._serve").watch(0.1)
    if mode == "inspected":
        importlib.import_module("ferrio.inspect").start()
    return module.new_event_loop


CLOCKS: dict[str, Callable[[], float]] = {"elapsed": time.perf_counter, "processor": time.process_time}


def measure(implementation: str, name: str, seconds: float, clock: str = "elapsed") -> float:
    """Operations per second of a clock, after a warm-up pass. What a peer measures has the peer's clock."""
    function, now = load()[name], CLOCKS[clock]

    async def main() -> float:
        await function()
        operations, rates, began = 0.0, [], now()
        while now() - began < seconds:
            done = await function()
            if isinstance(done, Rate):
                rates.append(done)
            else:
                operations += done
        return statistics.median(rates) if rates else operations / (now() - began)

    with asyncio.Runner(loop_factory=loop_factory(implementation)) as runner:
        return runner.run(main())
