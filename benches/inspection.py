"""What inspection costs, how soon it tells of a block, and for how long a snapshot holds a loop up.

    python -m benches.inspection                all of it
    python -m benches.inspection costs          instructions an operation: off, with the watchdog on, with everything on
    python -m benches.inspection blocks         how long a callback has blocked its loop when `ferrio watch` tells so
    python -m benches.inspection snapshot       the longest turns of a loop while its tasks are looked at

Costs are counts (`benches.instructions`), which a busy machine changes little; the others are times, of this machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from .instructions.counting import Unavailable, counted
from .instructions.rows import SERVERS

ROWS = ("call_soon_chain", "switch_100", "task_seq", "queue_handoff", "lock_contended_100", *SERVERS)
ROUNDS = 3

# How many tasks a snapshot has.
TASKS = 100_000

# Each defines `block`, which blocks for long.
BLOCKS = {
    "time.sleep": """
def block():
    time.sleep(1000)
""",
    "a request to a slow server": """
import socket, urllib.request
server = socket.create_server(("127.0.0.1", 0))
def block():
    urllib.request.urlopen("http://127.0.0.1:%d" % server.getsockname()[1])
""",
    "a loop in Python": """
def block():
    while True:
        pass
""",
    "a regular expression": r"""
import re
def block():
    re.match(r"(a+)+$", "a" * 60 + "b")
""",
    "json of 100 MB": """
import json
document = json.dumps([{"name": "x" * 10, "values": list(range(100))}] * 240_000)
def block():
    json.loads(document)
""",
}

PROGRAM = """
async def main():
    await asyncio.sleep(0.5)
    print(time.monotonic(), flush=True)
    block()

ferrio.install()
asyncio.run(main())
"""


def costs() -> None:
    """Prints a line a row."""
    print(f"{'instructions an operation':<28}{'off':>10}{'watchdog':>12}{'':>8}{'everything':>12}")
    for name in ROWS:
        try:
            off, watched, inspected = (
                statistics.median(counted(sys.executable, implementation, name).whole for _ in range(ROUNDS))
                for implementation in ("ferrio", "ferrio-watched", "ferrio-inspected")
            )
        except Unavailable as why:
            print(f"{name:<28}left out: {why}")
            continue
        shares = f"{watched / off - 1:>8.1%}{inspected:>12,.0f}{inspected / off - 1:>8.1%}"
        print(f"{name:<28}{off:>10,.0f}{watched:>12,.0f}{shares}", flush=True)


def environment(directory: str) -> dict[str, str]:
    return {**os.environ, "XDG_RUNTIME_DIR": directory, "FERRIO_INSPECT": "1"}


def told_after(block: str) -> float:
    """The seconds from the beginning of a block to the line of `ferrio watch` that tells of it."""
    code = f"import asyncio, time\nimport ferrio\n{block}{PROGRAM}"
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o700)
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(directory)) as program:
            command = [sys.executable, "-m", "ferrio", "watch", str(program.pid), "--json"]
            asking = {**environment(directory), "FERRIO_INSPECT": ""}
            try:
                while not os.path.exists(f"{directory}/ferrio/{program.pid}.sock"):
                    time.sleep(0.001)
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=asking) as watch:
                    assert program.stdout
                    assert watch.stdout
                    began = float(program.stdout.readline())
                    try:
                        while not any(
                            frame["function"] == "block" for frame in json.loads(watch.stdout.readline())["stack"]
                        ):
                            pass
                        return time.monotonic() - began
                    finally:
                        watch.kill()
            finally:
                program.kill()


def blocks() -> None:
    """Prints a line a kind of block."""
    print(f"{'told after, in milliseconds':<28}{'median':>10}{'longest':>12}   (the limit is 100)")
    for name, block in BLOCKS.items():
        times = [told_after(block) * 1000 for _ in range(2 * ROUNDS - 1)]
        print(f"{name:<28}{statistics.median(times):>10.0f}{max(times):>12.0f}", flush=True)


async def turning(tasks: int, *, sleeping: bool) -> None:
    """Has many tasks, with a timer each if they sleep; prints the longest turns while nobody looks, and while somebody
    does."""
    import ferrio.inspect

    event = asyncio.Event()
    waiting = [asyncio.create_task(asyncio.sleep(1000) if sleeping else event.wait()) for _ in range(tasks)]
    await asyncio.sleep(0)
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o700)
    path = ferrio.inspect.start(f"{directory}/socket")
    request = (
        "import socket, sys; peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1]); "
        'peer.sendall(b\'{"view": "snapshot"}\\n\')\nwhile peer.recv(1 << 20): pass'
    )
    for looked_at in (False, True):
        lengths: list[float] = []
        began = before = time.perf_counter()
        asking = subprocess.Popen([sys.executable, "-c", request, path]) if looked_at else None
        while asking.poll() is None if asking else before - began < 2:
            await asyncio.sleep(0)
            lengths.append((now := time.perf_counter()) - before)
            before = now
        lengths.sort()
        longest, hundredth = lengths[-1] * 1000, lengths[-max(len(lengths) // 1000, 1)] * 1000
        many = f"{tasks:,} tasks{' and timers' * sleeping}"
        what = f"{many}, a snapshot in {before - began:.1f} s" if looked_at else "nobody looks"
        print(f"{what:<44}{hundredth:>10.2f}{longest:>12.2f}", flush=True)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    ferrio.inspect.stop()


def snapshot() -> None:
    """Prints how long turns take."""
    import ferrio

    print(f"{'turns of a loop, in milliseconds':<44}{'1 in 1,000':>10}{'longest':>12}")
    ferrio.install()
    for sleeping in (False, True):
        asyncio.run(turning(TASKS, sleeping=sleeping))


PARTS = {"costs": costs, "blocks": blocks, "snapshot": snapshot}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.inspection", description="what inspection costs")
    parser.add_argument("part", nargs="?", choices=PARTS, help="what to measure; everything without it")
    chosen = parser.parse_args().part
    for part in [chosen] if chosen else PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
