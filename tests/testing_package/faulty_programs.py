"""Programs with one fault each, all of which pass in the undisturbed run; and what their faults need to show."""

import asyncio
import collections


async def lost_update():
    """A value is read, awaited on and written, next to a timer that ties."""
    n = 0

    async def add(start):
        nonlocal n
        if start:
            await asyncio.sleep(start)
        seen = n
        await asyncio.sleep(0.001)
        n = seen + 1

    await asyncio.gather(add(0), add(0.001))
    assert n == 2


async def lost_update_by_threads():
    """The same where an executor's job takes the place of the sleep."""
    n = 0

    async def add():
        nonlocal n
        seen = n
        await asyncio.to_thread(int)
        n = seen + 1

    first = asyncio.create_task(add())
    await asyncio.to_thread(int)
    await asyncio.to_thread(int)
    second = asyncio.create_task(add())
    await asyncio.gather(first, second)
    assert n == 2


async def locks_in_two_orders():
    """Two tasks take two locks, each another one first."""
    left, right = asyncio.Lock(), asyncio.Lock()

    async def one():
        async with left:
            await asyncio.sleep(0.001)
            async with right:
                await asyncio.sleep(0.001)

    async def two():
        await asyncio.sleep(0.001)
        async with right:
            await asyncio.sleep(0.001)
            async with left:
                pass

    await asyncio.gather(one(), two())


class Pool:
    """A pool that loses what it hands to a task which is cancelled in the same turn."""

    def __init__(self, connections):
        self.free = list(connections)
        self.waiters = collections.deque()

    async def acquire(self):
        if self.free:
            return self.free.pop()
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return await waiter

    def release(self, connection):
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.free.append(connection)


async def lost_connection():
    """A timeout passes in the turn after the one in which a connection was handed over."""
    pool = Pool(["connection"])

    async def holder():
        connection = await pool.acquire()
        await asyncio.sleep(0.005)
        pool.release(connection)

    async def impatient():
        try:
            async with asyncio.timeout(0.005):
                connection = await pool.acquire()
        except TimeoutError:
            return
        pool.release(connection)

    await asyncio.gather(holder(), impatient())
    assert pool.free


async def lost_item():
    """Two tasks end in one turn, and the program looks at one of them only."""
    queue = asyncio.Queue()
    seen = []

    async def producer():
        await asyncio.sleep(0.0035)
        queue.put_nowait("item")

    async def consumer():
        for _ in range(4):
            get, tick = asyncio.create_task(queue.get()), asyncio.create_task(asyncio.sleep(0.003))
            done, _ = await asyncio.wait({get, tick}, return_when=asyncio.FIRST_COMPLETED)
            if tick in done:
                get.cancel()
                continue
            tick.cancel()
            seen.append(get.result())
            return

    await asyncio.gather(consumer(), producer())
    assert seen == ["item"]


async def equal_deadlines():
    """Two timers for one instant."""
    loop = asyncio.get_running_loop()
    up = []
    answer = loop.create_future()
    when = loop.time() + 0.01
    loop.call_at(when, up.append, "database")
    loop.call_at(when, lambda: answer.set_result("database" in up))
    loop.call_later(0.011, lambda: answer.done() or answer.set_result(False))
    assert await answer


async def three_preemptions():
    """Three tasks that wait for threads, in an order that few schedules have."""
    stage = 0

    async def step():
        await asyncio.to_thread(int)

    async def first():
        nonlocal stage
        await step()
        await step()
        if stage == 1:
            stage = 2
        await step()

    async def second():
        nonlocal stage
        for _ in range(4):
            await step()
        if stage == 0:
            stage = 1
        await step()
        assert stage != 3

    async def third():
        nonlocal stage
        await step()
        if stage == 2:
            stage = 3
        await step()

    await asyncio.gather(first(), second(), third())


async def short_sleep_before_a_longer_one():
    """What takes 10 ms is taken to be over before what takes 11 ms."""
    cache = {}

    async def warm():
        await asyncio.sleep(0.010)
        cache["key"] = 1

    async def ask():
        await asyncio.sleep(0.011)
        return cache["key"]

    await asyncio.gather(warm(), ask())


async def order_of_ready_callbacks():
    """Fails only if a callback overtakes another that was scheduled before."""
    log = []
    loop = asyncio.get_running_loop()
    loop.call_soon(log.append, 1)
    loop.call_soon(log.append, 2)
    await asyncio.sleep(0.001)
    assert log == [1, 2]


# The program, the weakest freedom that shows its fault, and within how many schedules it is found.
FAULTY = [
    (lost_update, "tie", 20),
    (lost_update_by_threads, "arrival", 20),
    (locks_in_two_orders, "tie", 20),
    (lost_connection, "stall", 10),
    (lost_item, "stall", 10),
    (equal_deadlines, "tie", 20),
    (three_preemptions, "arrival", 200),
]
