"""trio as a guest of the loop: trio's own tasks, sockets, threads and cancellation beside asyncio's."""

import asyncio
import sys

import trio

from tests.interop import clean


async def trio_main(record: list[str]) -> str:
    async def double(item: int, send: trio.MemorySendChannel) -> None:
        await trio.sleep(0.01 * item)
        await send.send(item * 2)

    send, receive = trio.open_memory_channel(10)
    async with trio.open_nursery() as nursery:
        for item in range(5):
            nursery.start_soon(double, item, send)
        # Sorted, because trio shuffles the tasks of one turn, and a slow machine puts several into one.
        doubled = sorted([await receive.receive() for _ in range(5)])
    record.append(f"{doubled}")
    with trio.move_on_after(0.05) as scope:
        await trio.sleep_forever()
    record.append(f"cancelled {scope.cancelled_caught}")
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def answer(stream: trio.SocketStream) -> None:
        async for chunk in stream:
            await stream.send_all(chunk.upper())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        stream = await trio.open_tcp_stream(*listeners[0].socket.getsockname())
        async with stream:
            for _ in range(100):
                await stream.send_all(b"hello")
                assert await stream.receive_some(10) == b"HELLO"
        nursery.cancel_scope.cancel()
    record.append("sockets")
    assert await trio.to_thread.run_sync(sum, [1, 2, 3]) == 6
    process = await trio.run_process([sys.executable, "-c", "print('child')"], capture_stdout=True)
    record.append(process.stdout.decode().strip())
    return "trio is done"


async def main() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(2):
        done = loop.create_future()
        record: list[str] = []
        trio.lowlevel.start_guest_run(
            trio_main,
            record,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=loop.call_soon,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        ticks = 0
        while not done.done():
            await asyncio.sleep(0.001)
            ticks += 1
        assert ticks > 5
        print(done.result().unwrap(), record)


clean.GRACE = 15  # threads of trio's wait ten seconds for more work
clean.run(main)
