"""Faults of everyday kinds, one a program; each passes in the undisturbed run."""

import asyncio
import collections
import contextlib
import signal

from ferrio.testing import sim


async def lost_wake_up():
    """An event is cleared after the work, not before it."""
    event, ready, done = asyncio.Event(), [], []

    async def produce():
        for number in range(2):
            await asyncio.to_thread(int)
            await asyncio.to_thread(int)
            ready.append(number)
            event.set()

    async def consume():
        while len(done) < 2:
            await event.wait()
            while ready:
                done.append(ready.pop())
            await asyncio.to_thread(int)
            event.clear()

    await asyncio.gather(produce(), consume())


async def swallowed_cancellation():
    """A worker takes any cancellation that meets its job for the job's."""

    async def work():
        for _ in range(3):
            with contextlib.suppress(BaseException):
                await asyncio.to_thread(int)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def double_release():
    """A timeout gives the permit back, and so does the result that comes all the same."""
    permits = 0
    loop = asyncio.get_running_loop()

    def release():
        nonlocal permits
        permits += 1

    timer = loop.call_later(0.005, release)
    await asyncio.sleep(0.004)
    await asyncio.to_thread(int)
    timer.cancel()
    release()
    assert permits == 1


async def check_then_act():
    """A cache is looked at before an await and filled after it."""
    cache, made = {}, []

    async def load(delay):
        await asyncio.sleep(delay)
        if "key" not in cache:
            value = await asyncio.to_thread(object)
            made.append(value)
            cache["key"] = value
        return cache["key"]

    first = asyncio.create_task(load(0.001))
    second = asyncio.create_task(load(0.004))
    await asyncio.gather(first, second)
    assert len(made) == 1


async def timeout_beside_the_result():
    """The item has come, and the timeout of its getter throws it away."""
    loop = asyncio.get_running_loop()
    waiting, items = collections.deque(), collections.deque()

    def put(item):
        if waiting:
            waiting.popleft().set_result(item)
        else:
            items.append(item)

    async def get():
        if items:
            return items.popleft()
        future = loop.create_future()
        waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future in waiting:
                waiting.remove(future)
            raise

    task = asyncio.create_task(get())
    loop.call_later(0.003, put, "item")
    loop.call_later(0.004, task.cancel)
    got = None
    with contextlib.suppress(asyncio.CancelledError):
        got = await task
    await asyncio.sleep(0.01)
    assert got or items


async def one_connection_for_two():
    """A pool looks at what is free, opens what is missing, and gives it to whoever comes first."""
    free, used = [], collections.Counter()
    opened = 0

    async def acquire():
        nonlocal opened
        if not free:
            opened += 1
            free.append(await asyncio.to_thread(lambda: "connection"))
            await asyncio.sleep(0)
        return free[-1] if len(free) == 1 else free.pop()

    async def use(delay):
        await asyncio.sleep(delay)
        connection = await acquire()
        used[connection] += 1
        assert used[connection] == 1
        await asyncio.to_thread(int)
        used[connection] -= 1

    await asyncio.gather(use(0.001), use(0.004))


async def shutdown_before_the_last_item():
    """The consumer ends when the queue is empty and the producer says it is done."""
    queue, is_done, seen = asyncio.Queue(), False, []

    async def produce():
        nonlocal is_done
        for number in range(3):
            await asyncio.to_thread(int)
            queue.put_nowait(number)
        is_done = True

    async def consume():
        while not (is_done and queue.empty()):
            seen.append(await queue.get())
            await asyncio.to_thread(int)

    await asyncio.wait_for(asyncio.gather(produce(), consume()), 10)
    assert seen == [0, 1, 2]


async def signal_before_its_handler_is_ready():
    """The handler uses what a job has yet to make."""
    loop, state = asyncio.get_running_loop(), {}
    loop.add_signal_handler(signal.SIGTERM, lambda: state["server"])
    job = asyncio.create_task(asyncio.to_thread(lambda: "server"))
    await asyncio.to_thread(int)
    sim.signal(signal.SIGTERM)
    state["server"] = await job
    await asyncio.sleep(1)
    loop.remove_signal_handler(signal.SIGTERM)


async def end_of_child_before_its_output():
    """returncode is looked at once the output is read."""
    sim.program("tool", stdout=b"text")
    process = await asyncio.create_subprocess_exec("tool", stdout=asyncio.subprocess.PIPE)
    await process.stdout.read()
    await asyncio.sleep(0.04)
    assert process.returncode == 0


async def gather_leaves_children():
    """The first exception ends gather, and the other child goes on with what is closed by then."""
    is_open = True

    async def use():
        await asyncio.to_thread(int)
        await asyncio.to_thread(int)
        assert is_open

    async def fail():
        for _ in range(3):
            await asyncio.to_thread(int)
        raise ValueError

    task = asyncio.create_task(use())
    with contextlib.suppress(ValueError):
        await asyncio.gather(task, fail())
    is_open = False
    await asyncio.gather(task, return_exceptions=True)
    task.result()


async def first_of_two_answers():
    """Two jobs answer; the second that was asked is taken for the newer."""
    shown = None

    async def search(text):
        nonlocal shown
        await asyncio.to_thread(int)
        shown = text

    first = asyncio.create_task(search("a"))
    second = asyncio.create_task(search("ab"))
    await asyncio.gather(first, second)
    assert shown == "ab"


async def notify_before_wait():
    """The state is looked at outside of the condition's lock."""
    condition, ready = asyncio.Condition(), False

    async def producer():
        nonlocal ready
        await asyncio.to_thread(int)
        await asyncio.to_thread(int)
        async with condition:
            ready = True
            condition.notify_all()

    async def consumer():
        if not ready:
            await asyncio.to_thread(int)
            async with condition:
                await condition.wait()

    await asyncio.gather(producer(), consumer())


async def split_message():
    """One read is taken for one message."""
    got = []

    async def serve(reader, writer):
        got.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 8000)
    _, writer = await asyncio.open_connection("localhost", 8000)
    writer.write(b"head")
    writer.write(b"body")
    await asyncio.sleep(0.1)
    writer.close()
    server.close()
    assert got == [b"headbody"]


async def set_of_tasks_in_order():
    """The done tasks of wait are taken for a list in order."""

    async def work(number):
        return number

    done, _ = await asyncio.wait([asyncio.create_task(work(number)) for number in range(3)])
    assert [task.result() for task in done] == [0, 1, 2]


async def heartbeat_beside_its_deadline():
    """A heartbeat each 4 ms, and a watchdog that gives up after 5 ms."""
    last, alive = asyncio.get_running_loop().time(), True
    loop = asyncio.get_running_loop()

    async def beat():
        nonlocal last
        for _ in range(3):
            await asyncio.sleep(0.004)
            last = loop.time()

    async def watch():
        nonlocal alive
        for _ in range(4):
            await asyncio.sleep(0.003)
            if loop.time() - last > 0.005:
                alive = False

    await asyncio.gather(beat(), watch())
    assert alive


async def cancel_after_the_hand_over():
    """A lock made by hand gives its place to a waiter that is cancelled at the same time."""
    held, waiting = True, collections.deque()

    async def acquire():
        nonlocal held
        if held:
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            await future
        held = True

    def release():
        nonlocal held
        if waiting:
            waiting.popleft().set_result(None)
        else:
            held = False

    async def enter():
        async with asyncio.timeout(0.003):
            await acquire()
        release()

    first = asyncio.create_task(enter())
    await asyncio.sleep(0.002)
    release()
    with contextlib.suppress(TimeoutError):
        await first
    async with asyncio.timeout(1):
        await acquire()


# The program, the weakest freedom that shows its fault, and within how many schedules it is found.
COMMON = (
    (lost_wake_up, "arrival", 20),
    (swallowed_cancellation, "arrival", 20),
    (double_release, "arrival", 20),
    (check_then_act, "arrival", 20),
    (timeout_beside_the_result, "stall", 20),
    (one_connection_for_two, "arrival", 20),
    (shutdown_before_the_last_item, "arrival", 20),
    (signal_before_its_handler_is_ready, "arrival", 20),
    (end_of_child_before_its_output, "arrival", 100),
    (gather_leaves_children, "arrival", 100),
    (first_of_two_answers, "arrival", 20),
    (notify_before_wait, "arrival", 20),
    (split_message, "arrival", 20),
    (set_of_tasks_in_order, "set", 20),
    (heartbeat_beside_its_deadline, "stall", 100),
    (cancel_after_the_hand_over, "stall", 20),
)
