"""async-timeout up to 4.0.3: a task that is cancelled in the turn in which its timeout passes goes on nevertheless.

    python -m examples.library_faults.async_timeout_cancellation

5.0 is asyncio's own `timeout`, from Python 3.11 on.
"""

import asyncio

import async_timeout

from examples.library_faults.report import explore


async def swallowed_cancellation() -> None:
    """A task that gives each attempt ten milliseconds is cancelled, and has to end."""

    async def work() -> None:
        while True:
            try:
                async with async_timeout.timeout(0.01):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                await asyncio.sleep(3600)

    task = asyncio.create_task(work())
    asyncio.get_running_loop().call_later(0.009, task.cancel)
    done, _ = await asyncio.wait([task], timeout=60)
    task.cancel()
    assert done, "the cancellation was swallowed"


if __name__ == "__main__":
    explore(swallowed_cancellation)
