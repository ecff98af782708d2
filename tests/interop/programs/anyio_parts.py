"""anyio's asyncio backend: task groups, cancel scopes, threads both ways, streams, processes, sockets, signals."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import SocketStream, TaskStatus
from anyio.streams.tls import TLSListener, TLSStream

from tests.interop import clean
from tests.support import certificates


async def task_groups() -> None:
    async def service(number: int, *, task_status: TaskStatus[int]) -> None:
        await anyio.sleep(0.01)
        task_status.started(number)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        assert [await group.start(service, number) for number in range(10)] == list(range(10))
        group.cancel_scope.cancel()

    async def fail(text: str) -> None:
        raise ValueError(text)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fail, "first")
            group.start_soon(fail, "second")
    except* ValueError as errors:
        print(sorted(str(error) for error in errors.exceptions))


async def cancel_scopes() -> None:
    with anyio.move_on_after(0.05) as scope:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.1)
        await anyio.sleep(10)
    assert scope.cancelled_caught
    try:
        with anyio.fail_after(0.02):
            await anyio.sleep(10)
    except TimeoutError:
        print("timeout")
    with anyio.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            inner.cancel()
            await anyio.sleep(10)
        assert inner.cancelled_caught
        outer.cancel()
        try:
            await anyio.sleep(10)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
    assert outer.cancelled_caught
    assert asyncio.current_task().cancelling() == 0


async def threads() -> None:
    def work(number: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        anyio.from_thread.run(anyio.sleep, 0.001)
        return anyio.from_thread.run_sync(lambda: number * 2)

    results: list[int] = []

    async def call(number: int) -> None:
        results.append(await anyio.to_thread.run_sync(work, number))

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(call, number)
    assert sorted(results) == [number * 2 for number in range(60)]
    with anyio.move_on_after(0.05) as scope:
        await anyio.to_thread.run_sync(time.sleep, 0.2, abandon_on_cancel=True)
    assert scope.cancelled_caught

    def checked() -> str:
        while True:
            anyio.from_thread.check_cancelled()
            time.sleep(0.001)

    with anyio.move_on_after(0.05) as scope:
        await anyio.to_thread.run_sync(checked)
    assert scope.cancelled_caught


async def memory_streams() -> None:
    send, receive = anyio.create_memory_object_stream[int](3)

    async def produce() -> None:
        async with send:
            for number in range(1000):
                await send.send(number)

    async with anyio.create_task_group() as group:
        group.start_soon(produce)
        async with receive:
            assert [number async for number in receive] == list(range(1000))
    lock, condition, limiter = anyio.Lock(), anyio.Condition(), anyio.CapacityLimiter(2)
    waited = []

    async def wait() -> None:
        async with condition:
            await condition.wait()
        async with limiter, lock:
            waited.append(limiter.borrowed_tokens)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        async with condition:
            condition.notify_all()
    assert len(waited) == 5
    assert max(waited) <= 2


async def processes() -> None:
    code = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); sys.exit(3)"
    data = os.urandom(300_000)
    async with await anyio.open_process([sys.executable, "-c", code]) as process:

        async def feed() -> None:
            await process.stdin.send(data)
            await process.stdin.aclose()

        async with anyio.create_task_group() as group:
            group.start_soon(feed)
            received = b"".join([chunk async for chunk in process.stdout])
        assert await process.wait() == 3
    assert received == data[::-1]
    done = await anyio.run_process([sys.executable, "-c", "print(input())"], input=b"over\n")
    assert done.stdout == b"over\n"
    with anyio.move_on_after(0.3):
        await anyio.run_process([sys.executable, "-c", "import time; time.sleep(60)"])


async def sockets() -> None:
    async def echo(stream: SocketStream | TLSStream) -> None:
        async with stream:
            try:
                async for chunk in stream:
                    await stream.send(chunk)
            except anyio.BrokenResourceError:
                pass

    async def ask(stream: SocketStream | TLSStream) -> None:
        data = os.urandom(1_000_000)
        received = bytearray()
        async with stream, anyio.create_task_group() as group:
            group.start_soon(stream.send, data)
            while len(received) < len(data):
                received += await stream.receive()
        assert received == data

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
        unix = await anyio.create_unix_listener(path)
        raw = await anyio.create_tcp_listener(local_host="127.0.0.1")
        tls = TLSListener(raw, certificates.server_context(), standard_compatible=False)
        async with tcp, unix, tls, anyio.create_task_group() as group:
            for listener in (tcp, unix, tls):
                group.start_soon(listener.serve, echo)
            port = tcp.extra(anyio.abc.SocketAttribute.local_port)
            await ask(await anyio.connect_tcp("127.0.0.1", port))
            await ask(await anyio.connect_unix(path))
            port = raw.extra(anyio.abc.SocketAttribute.local_port)
            context = certificates.client_context()
            stream = await anyio.connect_tcp("127.0.0.1", port)
            await ask(
                await TLSStream.wrap(stream, hostname="localhost", ssl_context=context, standard_compatible=False)
            )
            group.cancel_scope.cancel()
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as here:
        port = here.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.create_connected_udp_socket("127.0.0.1", port) as there:
            await there.send(b"datagram")
            data, address = await here.receive()
            assert data == b"datagram"
            await here.sendto(b"answer", *address)
            assert await there.receive() == b"answer"
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        async for number in signals:
            assert number == signal.SIGUSR1
            break
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.wait_readable, left)
            await anyio.wait_writable(right)
            right.send(b"x")


async def files() -> None:
    async with anyio.TemporaryDirectory() as folder:
        path = anyio.Path(folder) / "file"
        await path.write_text("one\ntwo\n")
        async with await anyio.open_file(path) as file:
            assert [line async for line in file] == ["one\n", "two\n"]


async def main() -> None:
    for part in (task_groups, cancel_scopes, threads, memory_streams, processes, sockets, files):
        await part()
        print(part.__name__)


def portals() -> None:
    async def add(left: int, right: int) -> int:
        await anyio.sleep(0.01)
        return left + right

    async def forever() -> None:
        await anyio.sleep_forever()

    with anyio.from_thread.start_blocking_portal() as portal:
        assert portal.call(add, 1, 2) == 3
        futures = [portal.start_task_soon(add, number, 1) for number in range(20)]
        assert [future.result() for future in futures] == list(range(1, 21))
        portal.start_task_soon(forever).cancel()
    print("portals")


clean.run(main)
anyio.run(main)
portals()
clean.done()
