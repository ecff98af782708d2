"""What runs out of memory raises MemoryError, keeps its state whole, and leaves a loop that works and closes.

Each operation repeats in a process of its own, whose address space is limited, until memory is gone.
"""

import subprocess
import sys
import textwrap

import pytest

LIMIT = """
import ferrio as asyncio, resource, socket

HARD = resource.getrlimit(resource.RLIMIT_AS)[1]

def limit():
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 60_000_000, HARD))

def relax():
    resource.setrlimit(resource.RLIMIT_AS, (HARD, HARD))
"""

PROGRAM = """
def nothing(*_):
    pass

CHUNK = b"x" * 65536

async def main():
    loop, kept = asyncio.get_running_loop(), []
    again = (None,) * {attempts}
    # Lifting the limit takes memory itself. Without some in store asyncio, too, fails here on Python 3.15.
    ballast = bytes(2_000_000)
{prepare}
    limit()
    try:
        while True:
{act}
    except MemoryError:
        for _ in again:
            try:
{again}
            except MemoryError:
                pass
        ballast = None
        relax()
{check}
        kept.clear()
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        print("MemoryError")

asyncio.run(main())
"""

# The name: what comes before, what is repeated, what holds afterwards.
OPERATIONS = {
    "feed_data": (
        "reader, count = asyncio.StreamReader(limit=1 << 40), 0",
        "reader.feed_data(CHUNK); count += 1",
        "reader.feed_eof(); left = 0\nwhile data := await reader.read(1 << 20): left += len(data)\n"
        "assert left == count * len(CHUNK)",
    ),
    "Queue.put_nowait": (
        "queue, count = asyncio.Queue(), 0",
        "queue.put_nowait(None); count += 1",
        "assert queue.qsize() == count\nfor _ in range(count): queue.get_nowait()",
    ),
    "LifoQueue.put_nowait": (
        "queue, count = asyncio.LifoQueue(), 0",
        "queue.put_nowait(None); count += 1",
        "assert queue.qsize() == count\nfor _ in range(count): queue.get_nowait()",
    ),
    "PriorityQueue.put_nowait": (
        "queue, count = asyncio.PriorityQueue(), 0",
        "queue.put_nowait(1); count += 1",
        "assert queue.qsize() == count",
    ),
    "add_done_callback": (
        "future, count = loop.create_future(), 0",
        "future.add_done_callback(nothing); count += 1",
        "assert future.remove_done_callback(nothing) == count",
    ),
    "create_future": ("", "kept.append(loop.create_future())", ""),
    "create_task": (
        "async def job(): pass",
        "coroutine = job()\nkept.append(loop.create_task(coroutine))",
        "await asyncio.gather(*kept)",
    ),
    "call_soon": (
        "ran = []",
        "loop.call_soon(ran.append, 1); kept.append(1)",
        "await asyncio.sleep(0)\nassert len(ran) >= len(kept), (len(ran), len(kept))",
    ),
    "call_soon_threadsafe": ("", "loop.call_soon_threadsafe(nothing)", ""),
    "call_later": ("", "kept.append(loop.call_later(1000, nothing))", "for handle in kept: handle.cancel()"),
    "cancel of timers": (
        "",
        "try:\n    kept.append(loop.call_later(1000, nothing))\nexcept MemoryError:\n"
        "    for handle in kept: handle.cancel()\n    raise",
        "assert all(handle.cancelled() for handle in kept)",
    ),
    "call_at of a whole number": ("", "kept.append(loop.call_at(10**9, nothing))", ""),
    "two callbacks of each future": (
        "",
        "future = loop.create_future(); kept.append(future)\n"
        "future.add_done_callback(nothing); future.add_done_callback(nothing)",
        "",
    ),
    "coroutines of readuntil": (
        "reader = asyncio.StreamReader()",
        "kept.append(reader.readuntil((b'1', b'22')))",
        "for coroutine in kept: coroutine.close()",
    ),
    "abort of writes": (
        "left, right = socket.socketpair(); left.setblocking(False)\n"
        "transport, _ = await loop.create_connection(asyncio.Protocol, sock=left); transport.write(bytes(1_000_000))",
        "try:\n    transport.write(bytearray(b'x'))\nexcept MemoryError:\n    transport.abort()\n    raise",
        "right.close()",
    ),
    "transport.write": (
        "left, right = socket.socketpair(); left.setblocking(False)\n"
        "transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)",
        "transport.write(bytearray(CHUNK))",
        "transport.abort(); right.close()",
    ),
    "StreamWriter.write": (
        "left, right = socket.socketpair(); left.setblocking(False)\n"
        "_, writer = await asyncio.open_connection(sock=left)",
        "writer.write(bytes(CHUNK))\nkept.append(bytes(100_000))",
        "writer.transport.abort(); right.close()",
    ),
    "writelines": (
        "left, right = socket.socketpair(); left.setblocking(False)\n"
        "transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)",
        "transport.writelines([bytearray(CHUNK)] * 4)",
        "transport.abort(); right.close()",
    ),
    "sendto": (
        "receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); receiver.bind(name := '\\0ferrio%d' % id(kept))\n"
        "sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); sender.connect(name)\n"
        "transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=sender)",
        "transport.sendto(bytearray(30_000))",
        "transport.abort(); receiver.close()",
    ),
    "read of much": (
        "reader = asyncio.StreamReader(limit=1 << 40)\nfor _ in range(700): reader.feed_data(CHUNK)\nreader.feed_eof()",
        "kept.append(bytes(25_000_000))\nkept.append(await reader.read(1 << 30))",
        "assert len(await reader.read()) == 700 * len(CHUNK)",
    ),
    "readexactly of much": (
        "reader = asyncio.StreamReader(limit=1 << 40)\nfor _ in range(700): reader.feed_data(CHUNK)",
        "kept.append(bytes(25_000_000))\nkept.append(await reader.readexactly(700 * len(CHUNK)))",
        "assert len(await reader.readexactly(700 * len(CHUNK))) == 700 * len(CHUNK)",
    ),
    "readline of much": (
        "reader = asyncio.StreamReader(limit=1 << 40)\n"
        "for _ in range(700): reader.feed_data(CHUNK)\nreader.feed_data(b'\\n')",
        "kept.append(bytes(25_000_000))\nkept.append(await reader.readline())",
        "assert len(await reader.readline()) == 700 * len(CHUNK) + 1",
    ),
}


def program(name: str, attempts: int = 0) -> str:
    prepare, act, check = OPERATIONS[name]
    # Where attempts fail halfway the program itself does not know what it did.
    check = "pass" if attempts else check
    return LIMIT + PROGRAM.format(
        attempts=attempts,
        prepare=textwrap.indent(prepare or "pass", " " * 4),
        act=textwrap.indent(act, " " * 12),
        again=textwrap.indent(act, " " * 16),
        check=textwrap.indent(check or "pass", " " * 8),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set by what /proc says")
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_runs_out_of_memory_raises_and_the_loop_closes(name):
    done = subprocess.run(
        [sys.executable, "-c", program(name)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr[-2000:]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set by what /proc says")
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_goes_on_without_memory_raises_each_time_and_the_loop_closes(name):
    done = subprocess.run(
        [sys.executable, "-c", program(name, 2000)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr[-2000:]


QUIET = """
import logging, threading, warnings

warnings.simplefilter("ignore")
logging.disable()
"""

FLOOD = """
class Hoarder(asyncio.Protocol):
    def connection_made(self, transport):
        self.kept = []

    def data_received(self, data):
        self.kept.append(data)

    def connection_lost(self, error):
        self.kept.clear()
        relax()
        ended.set_result(type(error).__name__)

def flood(address):
    peer = socket.create_connection(address)
    try:
        while True:
            peer.sendall(CHUNK)
    except OSError:
        peer.close()

async def main():
    global ended
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    server = await loop.create_server(Hoarder, "127.0.0.1", 0)
    thread = threading.Thread(target=flood, args=[server.sockets[0].getsockname()])
    thread.start()
    await asyncio.sleep(0)
    limit()
    print(await ended)
    await loop.run_in_executor(None, thread.join)
    server.close()

CHUNK = b"x" * 65536
asyncio.run(main())
"""

CROWD = """
async def job():
    await asyncio.sleep(0)

async def gather():
    await asyncio.gather(*(job() for _ in range(1_000_000)))

async def group():
    async with asyncio.TaskGroup() as group:
        for _ in range(1_000_000):
            group.create_task(job())

async def lock():
    lock = asyncio.Lock()
    await lock.acquire()
    await asyncio.gather(*[lock.acquire() for _ in range(1_000_000)])

async def produce():
    queue = asyncio.Queue()
    while True:
        await queue.put(bytes(100))

async def tidy():
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
    for _ in range(3):
        await asyncio.sleep(0)

def attempt(work):
    # Lifting the limit takes memory itself, in small blocks and large ones.
    ballast = [bytes(500) for _ in range(20_000)] + [bytes(2_000_000)]
    limit()
    try:
        # The error is the program's, or that of a callback which cannot even be reported, and so ends the run.
        loop.run_until_complete(work())
    except MemoryError:
        pass
    else:
        raise AssertionError(work)
    finally:
        ballast.clear()
        relax()

for work in (gather, group, lock, produce):
    loop = asyncio.new_event_loop()
    attempt(work)
    try:
        loop.run_until_complete(tidy())
    except RuntimeError:
        # There was no memory to remove the callback that stops the first run, under asyncio neither: it stops this one.
        loop.run_until_complete(tidy())
    loop.close()
print("MemoryError")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set by what /proc says")
@pytest.mark.parametrize("source", [FLOOD, CROWD], ids=["flood", "crowd"])
def test_peer_or_program_that_takes_all_memory_leaves_a_loop_that_closes(source):
    if source is CROWD and sys.version_info < (3, 12):
        pytest.skip("3.11 itself aborts: Cannot recover from MemoryErrors while normalizing exceptions")
    done = subprocess.run(
        [sys.executable, "-c", LIMIT + QUIET + source], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr[-2000:]
