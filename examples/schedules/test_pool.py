"""A connection pool that loses a connection, and a test that finds out when.

    python -m pytest examples/schedules

`Pool` hands a connection to the task that waits longest. A task whose timeout passes in the very turn after that never
learns of it, so nobody gives the connection back. That takes a loop that is held up for a moment: run once, the test
passes. `MendedPool` gives back what was handed over too late.

These tests need ferrio, because they explore schedules.
"""

import asyncio
import collections

import pytest

from ferrio import testing


class Pool:
    """Connections that tasks borrow."""

    def __init__(self, *connections: str) -> None:
        self.free = list(connections)
        self.waiters: collections.deque[asyncio.Future[str]] = collections.deque()

    async def acquire(self) -> str:
        """A connection, as soon as one is free."""
        if self.free:
            return self.free.pop()
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return await waiter

    def release(self, connection: str) -> None:
        """Hand a connection on, or keep it."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.free.append(connection)


class MendedPool(Pool):
    """A pool whose waiters give back what comes too late."""

    async def acquire(self) -> str:
        """A connection, as soon as one is free."""
        if self.free:
            return self.free.pop()
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release(waiter.result())
            raise


async def borrow_twice(pool: Pool) -> None:
    """Two tasks share one connection; the second is impatient."""

    async def hold() -> None:
        connection = await pool.acquire()
        await asyncio.sleep(0.005)
        pool.release(connection)

    async def try_briefly() -> None:
        try:
            async with asyncio.timeout(0.005):
                connection = await pool.acquire()
        except TimeoutError:
            return
        pool.release(connection)

    await asyncio.gather(hold(), try_briefly())
    assert pool.free, "a connection is lost"


def test_the_pool_passes_when_it_runs_once() -> None:
    testing.run(lambda: borrow_twice(Pool("connection")))


def test_exploring_finds_the_schedule_that_loses_a_connection() -> None:
    report = testing.explore(lambda: borrow_twice(Pool("connection")))
    assert report.failure is not None
    print(report.failure)
    assert report.failure.classification == "stall"
    with pytest.raises(AssertionError, match="a connection is lost"):
        testing.replay(lambda: borrow_twice(Pool("connection")), report.failure.token).check()


@testing.simulate
async def test_the_mended_pool_loses_none() -> None:
    await borrow_twice(MendedPool("connection"))
