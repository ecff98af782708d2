"""A correct program has no lint, however busy it is."""

import time

import pytest

from tests.support.inspected import LOOP, STOCK, WHOLE, inspected

pytestmark = pytest.mark.timeout(120)

CORRECT = """
    import contextlib, random

    background = set()

    async def handle(reader, writer):
        try:
            while line := await reader.readline():
                async with lock:
                    await queue.put(line)
                await asyncio.sleep(0)
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(asyncio.sleep(random.random() / 1000))
                task = asyncio.create_task(asyncio.sleep(0.001))
                background.add(task)
                task.add_done_callback(background.discard)
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def consume():
        while True:
            await queue.get()
            await asyncio.to_thread(len, b"")
            queue.task_done()

    async def client(address):
        while True:
            reader, writer = await asyncio.open_connection(*address)
            for _ in range(20):
                writer.write(b"a line\\n")
                async with asyncio.timeout(1000):
                    await reader.readline()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.001)
            await asyncio.gather(*(failing() for _ in range(3)), return_exceptions=True)
            writer.close()
            await writer.wait_closed()

    async def failing():
        raise ValueError

    async def main():
        global lock, queue
        lock, queue = asyncio.Lock(), asyncio.Queue()
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        print("ready")
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(client(address))
                group.create_task(consume())
"""


@pytest.mark.parametrize("how", [WHOLE, LOOP, STOCK], ids=["whole", "loop", "stock"])
def test_a_correct_busy_program_has_no_lint(tmp_path, how, monkeypatch):
    monkeypatch.setenv("FERRIO_INSPECT_LINTS", "1")
    # What a busy machine makes slow is no lint, but would be logged.
    monkeypatch.setenv("FERRIO_BLOCKED", "off")
    with inspected(tmp_path, CORRECT, run=how) as program:
        lints = []
        looks = 0
        begun = time.monotonic()
        # Long enough for the limits of tasks that spin or that nobody keeps.
        while looks < 20 or time.monotonic() - begun < 3:
            snapshot = program.snapshot()
            lints += snapshot["lints"]
            looks += 1
        assert program.process.poll() is None
        assert lints == []
        program.process.terminate()
        _, errors = program.process.communicate()
    assert errors == ""
