"""Correct programs: each relies on an order that asyncio guarantees, or that no loop can change."""

import asyncio


async def callbacks_run_in_order():
    loop = asyncio.get_running_loop()
    log = []
    loop.call_soon(log.append, 1)
    loop.call_soon(log.append, 2)
    await asyncio.sleep(0.001)
    assert log == [1, 2]


async def done_callbacks_run_in_order():
    future = asyncio.get_running_loop().create_future()
    log = []
    future.add_done_callback(lambda _: log.append(1))
    future.add_done_callback(lambda _: log.append(2))
    future.set_result(None)
    await asyncio.sleep(0.001)
    assert log == [1, 2]


async def tasks_start_in_order():
    log = []

    async def start(number):
        log.append(number)

    await asyncio.gather(start(1), start(2), start(3))
    assert log == [1, 2, 3]


async def a_task_has_started_after_one_turn():
    started = False

    async def work():
        nonlocal started
        started = True
        await asyncio.sleep(1)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert started
    task.cancel()


async def an_event_wakes_its_waiter_in_one_turn():
    event = asyncio.Event()
    seen = []

    async def wait():
        await event.wait()
        seen.append(1)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.001)
    event.set()
    await asyncio.sleep(0)
    assert seen == [1]
    await task


async def a_lock_is_fair():
    lock = asyncio.Lock()
    log = []

    async def take(number):
        async with lock:
            log.append(number)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(take(number) for number in range(4)))
    assert log == [0, 1, 2, 3]


async def a_queue_keeps_its_order():
    queue = asyncio.Queue(2)
    got = []

    async def put():
        for number in range(6):
            await queue.put(number)
            await asyncio.sleep(0.001 * (number % 2))

    async def get():
        for _ in range(6):
            got.append(await queue.get())
            await asyncio.to_thread(int)

    await asyncio.gather(put(), get())
    assert got == list(range(6))


async def timers_run_in_the_order_of_their_deadlines():
    loop = asyncio.get_running_loop()
    log = []
    loop.call_later(0.002, log.append, 1)
    loop.call_later(0.003, log.append, 2)
    await asyncio.sleep(0.02)
    assert log == [1, 2]


async def a_timer_that_is_due_runs_in_the_next_turn():
    loop = asyncio.get_running_loop()
    log = []
    loop.call_later(0, log.append, 1)
    loop.time()
    loop.call_later(0, log.append, 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(log) == [1, 2]
    await asyncio.sleep(0.001)


async def one_thread_calls_in_order():
    loop = asyncio.get_running_loop()
    log = []

    def work():
        loop.call_soon_threadsafe(log.append, 1)
        loop.call_soon_threadsafe(log.append, 2)

    await asyncio.to_thread(work)
    await asyncio.sleep(0.001)
    assert log == [1, 2]


async def a_job_calls_back():
    loop = asyncio.get_running_loop()

    async def answer():
        await asyncio.sleep(0.001)
        return 42

    def work():
        return asyncio.run_coroutine_threadsafe(answer(), loop).result() + 1

    assert await asyncio.to_thread(work) == 43


CORRECT = [
    callbacks_run_in_order,
    done_callbacks_run_in_order,
    tasks_start_in_order,
    a_task_has_started_after_one_turn,
    an_event_wakes_its_waiter_in_one_turn,
    a_lock_is_fair,
    a_queue_keeps_its_order,
    timers_run_in_the_order_of_their_deadlines,
    a_timer_that_is_due_runs_in_the_next_turn,
    one_thread_calls_in_order,
    a_job_calls_back,
]
