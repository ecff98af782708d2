"""Compares ferrio-bridge with pyo3-async-runtimes, in one run: processor time for each await from Python, in µs.

`make bench-rust` builds the extension `bridge_bench` and runs this. Each kind has a process of its own, because tokio's
runtime is chosen once; rounds of all kinds alternate, so that what else the machine does is spread over all. The best
round counts. The time is that of all threads, which a busy machine changes little; what a call waits for another thread
to wake is not in it.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import bridge_bench
import rust_extension
import rust_extension_tokio

import ferrio

ROUNDS = 3
KINDS = ("ferrio-bridge on ferrio", "ferrio-bridge on asyncio", "tokio, threads", "tokio, one thread")
CALLS = {
    "ready at once": 10_000,
    "ready at once, a coroutine": 10_000,
    "waking once": 10_000,
    "answered by a thread": 10_000,
    "lines": 1_000,
}


async def upper(line: str) -> str:
    return line.upper()


async def seconds_for(function: Callable[[], Awaitable[object]], calls: int) -> float:
    for _ in range(calls // 10):
        await function()
    start = time.process_time()
    for _ in range(calls):
        await function()
    return time.process_time() - start


async def measure(kind: str, what: str) -> float:
    """Microseconds for each call."""
    on_tokio = kind.startswith("tokio")
    if what == "lines":
        if on_tokio:
            client = await rust_extension_tokio.connect("127.0.0.1", rust_extension_tokio.serve(upper).port)
        else:
            client = await rust_extension.connect("127.0.0.1", rust_extension.serve(upper).port)

        def function() -> Awaitable[object]:
            return client.request("a line")
    elif what == "waking once":
        function = bridge_bench.tokio_wake if on_tokio else bridge_bench.bridge_wake
    elif what == "answered by a thread":
        function = bridge_bench.tokio_answered if on_tokio else bridge_bench.bridge_answered
    elif on_tokio:
        function = bridge_bench.tokio_ready
    else:
        function = bridge_bench.bridge_ready if what == "ready at once" else bridge_bench.bridge_lazy
    return await seconds_for(function, CALLS[what]) / CALLS[what] * 1e6


def run_one(kind: str, what: str) -> None:
    if kind == "tokio, one thread":
        bridge_bench.use_one_thread()
        rust_extension_tokio.use_one_thread()
    factory = ferrio.new_event_loop if kind == "ferrio-bridge on ferrio" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        print(runner.run(measure(kind, what)), flush=True)
        # tokio's threads may abort the process when they meet an interpreter that ends.
        os._exit(0)


def main() -> None:
    if len(sys.argv) == 3:
        run_one(*sys.argv[1:])
        return
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for what in CALLS:
            for kind in KINDS:
                command = [sys.executable, __file__, kind, what]
                found = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                best[what, kind] = min(found, best.get((what, kind), found))
    print(f"{'µs for each await':28}" + "".join(f"{kind:>26}" for kind in KINDS))
    for what in CALLS:
        print(f"{what:28}" + "".join(f"{best[what, kind]:>26.2f}" for kind in KINDS))


if __name__ == "__main__":
    main()
