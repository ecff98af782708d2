"""Correct programs of everyday kinds: each relies on nothing but what asyncio guarantees."""

import asyncio
import collections
import contextlib
import signal
import time

from ferrio.testing import sim


async def a_semaphore_is_fair():
    gate, order = asyncio.Semaphore(2), []

    async def enter(number):
        async with gate:
            order.append(number)
            await asyncio.to_thread(int)

    await asyncio.gather(*(enter(number) for number in range(5)))
    assert order == list(range(5))


async def a_condition_wakes_its_waiters_in_order():
    condition, order, waiting = asyncio.Condition(), [], 0

    async def wait(number):
        nonlocal waiting
        async with condition:
            waiting += 1
            await condition.wait()
            order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    while waiting < 4:
        await asyncio.sleep(0)
    for _ in range(4):
        await asyncio.to_thread(int)
        async with condition:
            condition.notify()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]


async def a_queue_gives_to_its_getters_in_order():
    queue, got = asyncio.Queue(), {}

    async def get(number):
        got[number] = await queue.get()

    tasks = [asyncio.create_task(get(number)) for number in range(4)]
    await asyncio.sleep(0)
    for item in range(4):
        await asyncio.to_thread(int)
        queue.put_nowait(item)
    await asyncio.gather(*tasks)
    assert got == {0: 0, 1: 1, 2: 2, 3: 3}


async def a_bounded_queue_takes_from_its_putters_in_order():
    queue = asyncio.Queue(1)

    async def put(number):
        await queue.put(number)

    tasks = [asyncio.create_task(put(number)) for number in range(5)]
    got = []
    for _ in range(5):
        await asyncio.to_thread(int)
        got.append(await queue.get())
    await asyncio.gather(*tasks)
    assert got == [0, 1, 2, 3, 4]


async def a_done_callback_runs_before_the_waiter_that_came_later():
    order = []
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: order.append("callback"))

    async def wait():
        await future
        order.append("waiter")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    future.set_result(None)
    order.append("set")
    await task
    assert order == ["set", "callback", "waiter"]


async def a_future_of_a_job_is_set_once_the_job_has_run():
    ran = []
    for number in range(3):
        await asyncio.to_thread(ran.append, number)
        assert ran[-1] == number


async def a_lock_guards_what_awaits():
    lock, total = asyncio.Lock(), 0

    async def add():
        nonlocal total
        async with lock:
            seen = total
            await asyncio.to_thread(int)
            await asyncio.sleep(0.001)
            total = seen + 1

    await asyncio.gather(*(add() for _ in range(4)))
    assert total == 4


async def a_cancelled_getter_loses_no_item():
    queue = asyncio.Queue()

    async def feed():
        await asyncio.sleep(0.001)
        queue.put_nowait("item")

    feeding = asyncio.create_task(feed())
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0.001)
    getter.cancel()
    item = None
    with contextlib.suppress(asyncio.CancelledError):
        item = await getter
    if item is None:
        item = await queue.get()
    await feeding
    assert item == "item"
    assert queue.empty()


async def a_timeout_that_is_handled_loses_nothing():
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    loop.call_later(0.002, answer.set_result, "answer")
    try:
        async with asyncio.timeout(0.002):
            got = await asyncio.shield(answer)
    except TimeoutError:
        got = await answer
    assert got == "answer"


async def a_group_waits_for_all_that_it_has():
    done = []

    async def work(number):
        await asyncio.to_thread(int)
        done.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(work(number))
    assert sorted(done) == [0, 1, 2, 3]


async def a_group_cancels_the_others():
    states = collections.Counter()

    async def work():
        try:
            await asyncio.Event().wait()
            states["ended"] += 1
        finally:
            states["left"] += 1

    async def fail():
        await asyncio.to_thread(int)
        raise ValueError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(work())
            group.create_task(fail())
    assert states == {"left": 2}


async def gather_keeps_the_order_of_results():
    async def work(number):
        await asyncio.to_thread(int)
        return number

    assert await asyncio.gather(*(work(number) for number in range(4))) == [0, 1, 2, 3]


async def unequal_timers_run_in_order_even_if_late():
    loop, order = asyncio.get_running_loop(), []
    begun = loop.time()
    for number in (3, 1, 2, 5, 4):
        loop.call_at(begun + number / 1000, order.append, number)
    while len(order) < 5:
        await asyncio.to_thread(int)
        await asyncio.sleep(0.0005)
    assert order == [1, 2, 3, 4, 5]


async def a_cancelled_timer_does_not_run():
    loop, ran = asyncio.get_running_loop(), []
    handle = loop.call_later(0.002, ran.append, 1)
    await asyncio.to_thread(int)
    was_late = bool(ran)
    handle.cancel()
    await asyncio.sleep(0.01)
    assert bool(ran) is was_late


async def timers_that_are_overdue_land_in_one_turn():
    loop, order = asyncio.get_running_loop(), []

    def first():
        order.append(1)
        loop.call_soon(order.append, "next turn")

    begun = loop.time()
    loop.call_at(begun + 0.001, first)
    loop.call_at(begun + 0.002, order.append, 2)
    time.sleep(0.003)
    await asyncio.sleep(1)
    assert order == [1, 2, "next turn"]


async def a_timer_s_callback_is_not_overtaken_by_bytes():
    loop, order = asyncio.get_running_loop(), []

    class Noting(asyncio.Protocol):
        def data_received(self, data):
            order.append("bytes")

    def timer():
        order.append("timer")
        loop.call_soon(order.append, "callback")

    server = await loop.create_server(Noting, "localhost", 8000)
    transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", 8000)
    await asyncio.sleep(1)
    loop.call_later(0.01, timer)
    transport.write(b"bytes")
    await asyncio.sleep(1)
    transport.close()
    server.close()
    await server.wait_closed()
    assert order.index("callback") == order.index("timer") + 1


async def bytes_arrive_in_their_order():
    received = []

    async def serve(reader, writer):
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 8000)
    _, writer = await asyncio.open_connection("localhost", 8000)
    for number in range(5):
        writer.write(bytes([number]) * 3)
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    while not received:
        await asyncio.sleep(0.01)
    server.close()
    await server.wait_closed()
    assert received == [bytes(each for number in range(5) for each in [number] * 3)]


async def answers_on_one_connection_keep_their_order():
    ended = asyncio.Event()

    async def serve(reader, writer):
        while line := await reader.readline():
            await asyncio.to_thread(int)
            writer.write(line)
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "localhost", 8000)
    reader, writer = await asyncio.open_connection("localhost", 8000)
    for number in range(3):
        writer.write(b"%d\n" % number)
    assert [int(await reader.readline()) for _ in range(3)] == [0, 1, 2]
    writer.close()
    await writer.wait_closed()
    await ended.wait()
    server.close()
    await server.wait_closed()


async def one_thread_puts_in_order():
    loop, got = asyncio.get_running_loop(), []
    queue = asyncio.Queue()

    def produce():
        for number in range(4):
            loop.call_soon_threadsafe(queue.put_nowait, number)

    job = asyncio.create_task(asyncio.to_thread(produce))
    for _ in range(4):
        got.append(await queue.get())
    await job
    assert got == [0, 1, 2, 3]


async def a_thread_that_waits_gets_its_answer():
    loop = asyncio.get_running_loop()

    async def answer(number):
        await asyncio.sleep(0.001)
        return number * 2

    def ask():
        return [asyncio.run_coroutine_threadsafe(answer(number), loop).result() for number in range(3)]

    assert await asyncio.gather(asyncio.to_thread(ask), asyncio.to_thread(ask)) == [[0, 2, 4]] * 2


async def a_pool_that_hands_over_keeps_its_count():
    free, waiting, users = ["one", "two"], collections.deque(), collections.Counter()

    async def acquire():
        if free:
            return free.pop()
        future = asyncio.get_running_loop().create_future()
        waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                release(future.result())
            raise

    def release(connection):
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(connection)
                return
        free.append(connection)

    async def use():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.002):
                connection = await acquire()
                try:
                    users[connection] += 1
                    assert users[connection] == 1
                    await asyncio.sleep(0.001)
                finally:
                    users[connection] -= 1
                    release(connection)

    await asyncio.gather(*(use() for _ in range(5)))
    assert sorted(free) == ["one", "two"]


async def a_barrier_lets_all_pass():
    barrier, passed = asyncio.Barrier(3), []

    async def arrive(number):
        await asyncio.to_thread(int)
        await barrier.wait()
        passed.append(number)

    await asyncio.gather(*(arrive(number) for number in range(6)))
    assert sorted(passed) == list(range(6))


async def an_event_that_is_set_stays_set():
    event = asyncio.Event()

    async def wait():
        await asyncio.to_thread(int)
        await event.wait()
        return True

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.to_thread(int)
    event.set()
    assert await asyncio.gather(*tasks) == [True] * 3


async def a_signal_is_told_once():
    loop, told = asyncio.get_running_loop(), []
    loop.add_signal_handler(signal.SIGTERM, told.append, 1)
    signal.raise_signal(signal.SIGTERM)
    while not told:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    loop.remove_signal_handler(signal.SIGTERM)
    assert told == [1]


async def a_child_s_output_is_whole():
    sim.program("tool", stdout=b"line\n" * 100, status=3)
    process = await asyncio.create_subprocess_exec("tool", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"line\n" * 100
    assert process.returncode == 3


async def shutdown_waits_for_its_workers():
    queue, done = asyncio.Queue(), []

    async def work():
        while (item := await queue.get()) is not None:
            await asyncio.to_thread(int)
            done.append(item)

    workers = [asyncio.create_task(work()) for _ in range(2)]
    for number in range(4):
        await queue.put(number)
    for _ in workers:
        await queue.put(None)
    await asyncio.gather(*workers)
    assert sorted(done) == [0, 1, 2, 3]


ORDERLY = (
    a_semaphore_is_fair,
    a_condition_wakes_its_waiters_in_order,
    a_queue_gives_to_its_getters_in_order,
    a_bounded_queue_takes_from_its_putters_in_order,
    a_done_callback_runs_before_the_waiter_that_came_later,
    a_future_of_a_job_is_set_once_the_job_has_run,
    a_lock_guards_what_awaits,
    a_cancelled_getter_loses_no_item,
    a_timeout_that_is_handled_loses_nothing,
    a_group_waits_for_all_that_it_has,
    a_group_cancels_the_others,
    gather_keeps_the_order_of_results,
    unequal_timers_run_in_order_even_if_late,
    a_cancelled_timer_does_not_run,
    timers_that_are_overdue_land_in_one_turn,
    a_timer_s_callback_is_not_overtaken_by_bytes,
    bytes_arrive_in_their_order,
    answers_on_one_connection_keep_their_order,
    one_thread_puts_in_order,
    a_thread_that_waits_gets_its_answer,
    a_pool_that_hands_over_keeps_its_count,
    a_barrier_lets_all_pass,
    an_event_that_is_set_stays_set,
    a_signal_is_told_once,
    a_child_s_output_is_whole,
    shutdown_waits_for_its_workers,
)
