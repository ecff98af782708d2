"""What the clock of a simulation does: it goes on for a loop that is never idle, and a loop may read it late."""

import asyncio
import threading
import time

import pytest

import ferrio
from ferrio import testing


async def until_a_job_is_done():
    job = asyncio.get_running_loop().run_in_executor(None, int)
    while not job.done():
        await asyncio.sleep(0)


async def until_jobs_in_a_row_are_done():
    async def work():
        for _ in range(3):
            await asyncio.to_thread(int)

    task = asyncio.create_task(work())
    while not task.done():
        await asyncio.sleep(0)


async def until_a_timer_has_run():
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, event.set)
    while not event.is_set():
        await asyncio.sleep(0)


async def until_a_deadline():
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.05
    while loop.time() < end:
        await asyncio.sleep(0)


async def until_a_deadline_of_the_process():
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        await asyncio.sleep(0)


async def until_bytes_arrive():
    got = []

    async def serve(reader, writer):
        got.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 7001):
        _, writer = await asyncio.open_connection("127.0.0.1", 7001)
        writer.write(b"x")
        while not got:
            await asyncio.sleep(0)
        writer.close()


async def until_a_timeout_passes():
    async def wait():
        while True:
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait(), 0.05)


async def jobs_until_a_timeout_passes():
    """Each job takes some time, even if the simulation sees nothing of it."""

    async def work():
        while True:
            await asyncio.to_thread(int)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work(), 0.05)


BUSY = (
    until_a_job_is_done,
    until_jobs_in_a_row_are_done,
    until_a_timer_has_run,
    until_a_deadline,
    until_a_deadline_of_the_process,
    until_bytes_arrive,
    until_a_timeout_passes,
    jobs_until_a_timeout_passes,
)

WITH_TIMERS_ONLY = (
    until_a_timer_has_run,
    until_a_deadline,
    until_a_deadline_of_the_process,
    until_a_timeout_passes,
)


@pytest.mark.parametrize("program", BUSY, ids=lambda program: program.__name__)
def test_a_program_that_is_never_idle_sees_what_it_waits_for(program):
    testing.run(program)
    for order in ("loop", "contract"):
        report = testing.explore(program, order=order, schedules=20)
        assert report.failure is None, str(report)


@pytest.mark.parametrize("program", WITH_TIMERS_ONLY, ids=lambda program: program.__name__)
def test_so_it_does_beside_real_io(program):
    testing.run(program, io="real")


def test_a_busy_program_waits_for_a_thread_of_its_own():
    async def main():
        done = []

        def work():
            release.wait()
            done.append(1)

        release = threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        asyncio.get_running_loop().call_later(0.05, release.set)
        while not done:
            await asyncio.sleep(0)
        thread.join()

    testing.run(main)


def test_a_program_of_few_turns_has_exact_times():
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(500):
            await asyncio.sleep(0)
        assert loop.time() == 0
        await asyncio.sleep(1)
        for _ in range(500):
            await asyncio.sleep(0)
        assert loop.time() == 1

    testing.run(main)


async def deadline_that_is_near():
    """Three sleeps of 3 ms, and a deadline after 10 ms: a loop that wakes up late misses it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.010
    for _ in range(3):
        await asyncio.sleep(0.003)
    assert loop.time() <= end, "missed"


async def lease_by_the_process_s_clock():
    """A lease of 6 ms, which is renewed each 4 ms."""
    ends = time.monotonic() + 0.006
    for _ in range(2):
        await asyncio.sleep(0.004)
        assert time.monotonic() < ends, "expired"
        ends = time.monotonic() + 0.006


@pytest.mark.parametrize("program", [deadline_that_is_near, lease_by_the_process_s_clock])
def test_a_loop_that_wakes_up_late_is_seen_by_a_program_that_reads_the_clock(program):
    testing.run(program)
    report = testing.explore(program)
    assert report.found_after is not None
    assert report.found_after <= 10
    failure = report.failure
    assert failure is not None
    assert failure.classification == "stall"
    assert "held up for 5 ms at test_clock.py:" in failure.explanation
    assert "reads the clock" in failure.story
    assert isinstance(testing.replay(program, failure.token).failure.exception, AssertionError)
    assert testing.explore(program, stall=0).exhausted
    assert testing.explore(program, stall=0).failure is None
    assert testing.explore(program, stall=0.0005).failure is None


def test_the_clock_is_late_only_where_it_was_read_since_it_moved():
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(10):
            loop.time()
        await asyncio.sleep(1)
        assert loop.time() == time.monotonic() == loop.time()

    report = testing.explore(main)
    assert report.failure is None, str(report)
    assert report.exhausted
    assert report.schedules == 2


def test_a_program_that_does_not_read_the_clock_has_one_schedule():
    async def main():
        for _ in range(10):
            await asyncio.sleep(0.001)

    assert testing.explore(main).schedules == 1


def test_a_late_reading_lets_timers_land_together():
    """What is read is the time: a timer whose deadline has passed by then has its turn next."""

    async def main():
        loop = asyncio.get_running_loop()
        order = []
        await asyncio.sleep(0.001)
        loop.call_later(0.002, order.append, "timer")
        before = loop.time()
        await asyncio.sleep(0.004)
        order.append("sleep")
        assert order == ["timer", "sleep"]
        assert loop.time() - before >= 0.004 - 1e-8

    report = testing.explore(main)
    assert report.failure is None, str(report)


async def nested_timeouts_at_one_deadline():
    """Two timers with the very same deadline are due in one turn, whatever the clock showed before."""
    deadline = asyncio.get_running_loop().time() + 0.01
    outer, inner = asyncio.timeout_at(deadline), asyncio.timeout_at(deadline)

    async def wait():
        async with outer, inner:
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await wait()
    assert inner.expired()
    assert outer.expired()


async def callbacks_at_one_deadline():
    loop = asyncio.get_running_loop()
    began, turns = loop.time(), []

    def note():
        turns.append(turn)

    loop.call_at(began + 0.01, note)
    await asyncio.sleep(0.001)
    loop.call_at(began + 0.01, note)
    turn = 0
    while len(turns) < 2:
        await asyncio.sleep(0.0001 if not turns else 0)
        turn += 1
    assert turns[0] == turns[1]


@pytest.mark.parametrize("program", [nested_timeouts_at_one_deadline, callbacks_at_one_deadline])
def test_one_deadline_is_one_turn(program):
    report = testing.explore(program, order="loop", schedules=200)
    assert report.failure is None, str(report)


async def a_slow_job_beside_a_sleep():
    job = asyncio.create_task(asyncio.to_thread(time.sleep, 5))
    await asyncio.sleep(1)
    assert not job.done()
    await job
    assert asyncio.get_running_loop().time() >= 5


async def the_timeout_of_a_slow_job():
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(time.sleep, 5), 1)
    assert asyncio.get_running_loop().time() - began < 2


async def slow_jobs_end_in_the_order_of_their_ends():
    done = []

    def job(seconds):
        began = time.monotonic()
        time.sleep(seconds / 2)
        time.sleep(seconds / 2)
        assert time.monotonic() - began >= seconds - 1e-8
        return seconds

    async def work(seconds):
        done.append(await asyncio.to_thread(job, seconds))

    await asyncio.gather(work(3), work(1), work(2))
    assert done == [1, 2, 3]
    assert asyncio.get_running_loop().time() < 4


async def slow_jobs_share_a_lock():
    """None waits for the lock while another one that has it sleeps."""
    lock, seen = threading.Lock(), []

    def job(number):
        with lock:
            time.sleep(1)
            seen.append(number)

    await asyncio.gather(*(asyncio.to_thread(job, number) for number in range(3)))
    assert sorted(seen) == [0, 1, 2]


async def a_slow_job_calls_the_loop_as_it_goes_on():
    loop = asyncio.get_running_loop()
    ticks = asyncio.Queue()

    def job():
        for number in range(3):
            time.sleep(1)
            loop.call_soon_threadsafe(ticks.put_nowait, number)
            if number == 1:
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0.5), loop).result()

    working = asyncio.create_task(asyncio.to_thread(job))
    times = []
    for number in range(3):
        assert await ticks.get() == number
        times.append(loop.time())
    await working
    assert times[0] >= 1
    assert times[1] >= 2
    assert times[2] >= 3.5


async def a_slow_job_that_is_left():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    await asyncio.sleep(1)


SLOW = (
    a_slow_job_beside_a_sleep,
    the_timeout_of_a_slow_job,
    slow_jobs_end_in_the_order_of_their_ends,
    slow_jobs_share_a_lock,
    a_slow_job_calls_the_loop_as_it_goes_on,
    a_slow_job_that_is_left,
)


@pytest.mark.parametrize("program", SLOW, ids=lambda program: program.__name__)
def test_the_sleep_of_a_job_passes_beside_the_loop(program):
    testing.run(program)
    if program is slow_jobs_end_in_the_order_of_their_ends:
        # Which job begins first is another thread's affair.
        return
    report = testing.explore(program, order="loop", schedules=40)
    assert report.failure is None, str(report)


def test_a_job_that_sleeps_may_end_late():
    async def main():
        job = asyncio.create_task(asyncio.to_thread(time.sleep, 1))
        await asyncio.sleep(1.001)
        assert job.done()

    testing.run(main)
    assert testing.explore(main).failure.classification == "arrival"


def test_a_recorded_job_that_sleeps_is_replayed_without_waiting(tmp_path):
    async def main():
        await asyncio.gather(asyncio.to_thread(time.sleep, 0.02), asyncio.to_thread(threading.Event().wait, 0.01))

    with testing.record(tmp_path / "file"):
        ferrio.run(main())
    assert testing.replay(main, tmp_path / "file").failure is None
