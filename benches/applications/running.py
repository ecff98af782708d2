"""The measured process: `NAME IMPLEMENTATION`, and for a client the `ADDRESS` of its server and `SECONDS`.

A server prints its port and serves until SIGTERM. A client warms up for half a second, then works for SECONDS, and
prints operations, seconds and processor time.
"""

import asyncio
import importlib
import sys
import time

from ..workload import loop_factory


async def timed(module: object, address: str, seconds: float) -> tuple[int, float, float]:
    async with module.connected(address) as operate:  # type: ignore[attr-defined]
        operations = 0
        for length in (0.5, seconds):
            operations, clock, processor = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - clock < length:
                operations += await operate()
        return operations, time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    name, implementation, *where = sys.argv[1:]
    factory = loop_factory(implementation)
    module = importlib.import_module(f"{__package__}.programs.{name}")
    with asyncio.Runner(loop_factory=factory) as runner:
        if where:
            print(*runner.run(timed(module, where[0], float(where[1]))), flush=True)
        else:
            runner.run(module.serve())


if __name__ == "__main__":
    main()
