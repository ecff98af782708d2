"""Runners: a loop created, used briefly and closed, in a thread because the measured loop runs in this one."""

import asyncio

from .workload import workload


async def _body() -> int:
    await asyncio.sleep(0)
    return 1


@workload
async def run_a_coroutine() -> int:
    factory = type(asyncio.get_running_loop())

    def many() -> int:
        done = 0
        for _ in range(50):
            with asyncio.Runner(loop_factory=factory) as runner:
                done += runner.run(_body())
        return done

    assert await asyncio.to_thread(many) == 50
    return 50


@workload
async def run_many_in_one_runner() -> int:
    factory = type(asyncio.get_running_loop())

    def many() -> int:
        with asyncio.Runner(loop_factory=factory) as runner:
            return sum(runner.run(_body()) for _ in range(500))

    assert await asyncio.to_thread(many) == 500
    return 500


@workload
async def make_and_close_a_loop() -> int:
    factory = type(asyncio.get_running_loop())

    def many() -> None:
        for _ in range(100):
            factory().close()

    await asyncio.to_thread(many)
    return 100
