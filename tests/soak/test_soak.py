"""Everything at once and again: no byte, callback, timer or signal is lost, and nothing is left behind."""

import asyncio
import gc
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import ferrio
from tests.support.memory import in_use

from .pattern import data

SECONDS = float(os.environ.get("FERRIO_SOAK_SECONDS", "0"))
TESTS = 6
MOST_GROWTH = 256 << 10

pytestmark = pytest.mark.timeout(120 + 2 * SECONDS)


def rounds(at_least: int) -> Iterator[int]:
    """Numbers of the rounds of one test: a few, or as many as its share of FERRIO_SOAK_SECONDS allows."""
    began, number = time.monotonic(), 0
    while number < at_least or time.monotonic() - began < SECONDS / TESTS:
        yield number
        number += 1


def run(main: Callable, *arguments) -> None:
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main(*arguments))


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


@pytest.fixture(autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def peer(*arguments) -> dict:
    """Runs the other end and returns its summary."""
    command = [sys.executable, "-m", "tests.soak.peer", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, errors = await asyncio.to_thread(process.communicate)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


class Served:
    def __init__(self, size: int):
        self.size, self.open, self.most_open = size, 0, 0
        self.whole, self.broken = 0, 0


class Echo(asyncio.Protocol):
    """Checks every byte and sends it back; stops reading while the other side does not take what is sent."""

    def __init__(self, served: Served):
        self.served, self.header, self.received, self.ended = served, b"", 0, False

    def connection_made(self, transport):
        self.transport = transport
        self.served.open += 1
        self.served.most_open = max(self.served.most_open, self.served.open)

    def data_received(self, chunk):
        assert not self.ended
        if len(self.header) < 4:
            self.header += chunk[: 4 - len(self.header)]
            if len(self.header) < 4 or not (chunk := chunk[4:]):
                return
        (number,) = struct.unpack("!I", self.header)
        assert data(number)[self.received : self.received + len(chunk)] == chunk
        self.received += len(chunk)
        self.transport.write(chunk)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def connection_lost(self, error):
        assert not self.ended
        self.ended = True
        self.served.open -= 1
        if self.received == self.served.size:
            self.served.whole += 1
        else:
            self.served.broken += 1


class BufferedEcho(Echo, asyncio.BufferedProtocol):
    def connection_made(self, transport):
        super().connection_made(transport)
        self.buffer = bytearray(1 << 16)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.data_received(bytes(self.buffer[:count]))


def collect_failures(loop: asyncio.AbstractEventLoop) -> list:
    failures: list = []
    loop.set_exception_handler(lambda loop, context: failures.append(context))
    return failures


async def serve(connections: int, size: int, buffered: bool) -> None:
    loop = asyncio.get_running_loop()
    failures, served = collect_failures(loop), Served(size)
    factory = BufferedEcho if buffered else Echo
    server = await loop.create_server(lambda: factory(served), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    done = await peer("echo", port, connections, size)
    while served.open:
        await asyncio.sleep(0.001)
    server.close()
    await server.wait_closed()
    assert failures == []
    assert sum(done.values()) == connections
    assert served.whole + served.broken == connections
    assert served.broken <= done["resetting"]
    assert served.most_open > connections // 2


def test_a_thousand_connections_carry_every_byte_and_leave_nothing_behind():
    connections, size = 1000, 1 << 20
    run(serve, connections, size // 16, False)
    before = in_use()
    counted = objects()
    for number in rounds(1):
        run(serve, connections, size, number % 2 == 1)
        run(serve, connections, size // 64, True)
    assert in_use() - before < MOST_GROWTH
    assert objects() - counted < 200


def test_connections_beyond_the_limit_of_descriptors_are_served_later():
    connections, size = 150, 1 << 18

    async def main():
        loop = asyncio.get_running_loop()
        reports, served = collect_failures(loop), Served(size)
        server = await loop.create_server(lambda: Echo(served), "127.0.0.1", 0, backlog=4096)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, hard))
        done = await peer("echo", server.sockets[0].getsockname()[1], connections, size)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        while served.open:
            await asyncio.sleep(0.001)
        server.close()
        assert sum(done.values()) == connections == served.whole + served.broken
        assert {report["message"] for report in reports} == {"socket.accept() out of system resource"}

    for _ in rounds(1):
        run(main)


def test_a_hundred_thousand_timers_run_once_in_order_and_never_early():
    async def main(seed):
        loop, chance = asyncio.get_running_loop(), random.Random(seed)
        trace, early = [], 0
        base = loop.time() + 0.2

        def due(when):
            nonlocal early
            early += loop.time() < when
            trace.append(when)

        whens = [base + chance.random() for _ in range(100_000)]
        handles = [loop.call_at(when, due, when) for when in whens]
        for handle in handles[::3]:
            handle.cancel()
        for number in range(1, 100_000, 300):  # some are armed and disarmed while the others run
            loop.call_at(whens[number], lambda: loop.call_later(60, trace.append, None).cancel())
        expected = sorted(when for number, when in enumerate(whens) if number % 3)
        async with asyncio.timeout(60):
            while len(trace) < len(expected) or loop.time() < base + 1.05:
                await asyncio.sleep(0.01)
        assert early == 0
        assert trace == expected

    run(main, 0)
    before = in_use()
    for number in rounds(2):
        run(main, number)
    assert in_use() - before < MOST_GROWTH


def test_calls_from_eight_threads_all_arrive_in_each_threads_order():
    threads, calls = 8, 10_000

    async def main():
        loop = asyncio.get_running_loop()
        arrived: list[list[int]] = [[] for _ in range(threads)]
        everything = loop.create_future()

        def arrive(thread, number):
            arrived[thread].append(number)
            if number == calls - 1 and all(len(each) == calls for each in arrived):
                everything.set_result(None)

        def flood(thread):
            for number in range(calls):
                loop.call_soon_threadsafe(arrive, thread, number)

        running = [threading.Thread(target=flood, args=(thread,)) for thread in range(threads)]
        for thread in running:
            thread.start()
        await asyncio.wait_for(everything, 60)
        for thread in running:
            thread.join()
        assert arrived == [list(range(calls))] * threads

    run(main)
    before = in_use()
    for _ in rounds(2):
        run(main)
    assert in_use() - before < MOST_GROWTH


def test_threads_that_meet_a_sleeping_loop_always_wake_it():
    """One call at a time, each waiting for its answer, so that the loop sleeps in between."""

    async def main():
        loop = asyncio.get_running_loop()

        def ask():
            for number in range(300):
                answer = threading.Event()
                loop.call_soon_threadsafe(answer.set)
                assert answer.wait(20), number

        await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(4)))

    for _ in rounds(2):
        run(main)


def test_a_storm_of_signals_loses_none_and_disturbs_nothing():
    count = 3000

    async def main():
        loop = asyncio.get_running_loop()
        seen, ticks = {0: 0, 1: 0}, 0

        def arrived(kind):
            seen[kind] += 1

        async def tick():
            nonlocal ticks
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.001)
                assert time.monotonic() - began >= 0.001
                ticks += 1

        for kind in seen:
            loop.add_signal_handler(signal.SIGRTMIN + kind, arrived, kind)
        ticking = asyncio.create_task(tick())
        assert await peer("signals", os.getpid(), count) == {"sent": count}
        async with asyncio.timeout(20):
            while min(seen.values()) < count and not ticking.done():
                await asyncio.sleep(0.001)
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        assert ticking.cancelled()
        assert ticks
        assert seen == {0: count, 1: count}
        for kind in seen:
            assert loop.remove_signal_handler(signal.SIGRTMIN + kind)

    for _ in rounds(1):
        run(main)
