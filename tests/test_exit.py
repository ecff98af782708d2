"""A loop at work in a daemon thread does not disturb the end of the program (issue 14)."""

# ruff: noqa: E501 - programs, which are no longer readable when their lines are cut
import re
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import asyncio, atexit, concurrent.futures, gc, logging, os, socket, sys, threading, time, weakref
kept = []


def pair():
    both = socket.socketpair()
    for end in both:
        end.setblocking(False)
    kept.extend(both)
    return both


async def endless():
    try:
        while True:
            yield 1
    finally:
        print("generator ends")


async def nested(depth):
    if depth:
        await nested(depth - 1)
    else:
        await asyncio.sleep(50)


class Manager:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        print("leaves", error[0])


async def job():
{body}


async def turns():
    for _ in range(5):
        await asyncio.sleep(0.01)

"""

# A loop at work in a daemon thread when the main thread leaves: the thread is ended inside the interpreter.
DAEMONS = {
    "busy": "while True:\n    sum(range(20000))\n    await asyncio.sleep(0)",
    "sleeping": "while True:\n    await asyncio.sleep(0)",
    "timers": "while True:\n    await asyncio.gather(*[asyncio.sleep(0.0001 * n) for n in range(20)])",
    "waiting": "await asyncio.sleep(50)",
    "threads": "while True:\n    await asyncio.to_thread(sum, range(1000))",
    "streams": "left, right = pair()\nreader, writer = await asyncio.open_connection(sock=left)\n"
    "other, answer = await asyncio.open_connection(sock=right)\nwhile True:\n    writer.write(b'x' * 1000 + b'\\n')\n"
    "    await writer.drain()\n    answer.write(await other.readline())\n    await reader.readline()",
    "queues": "queue = asyncio.Queue(1)\nasync def put():\n    while True:\n        await queue.put(1)\nkept.append(asyncio.ensure_future(put()))\n"
    "while True:\n    await queue.get()",
    "finalizers": "class D:\n    def __del__(self):\n        sum(range(2000))\nwhile True:\n    asyncio.get_running_loop().call_soon(print, D()).cancel()\n    await asyncio.sleep(0)",
    "long_call": "while True:\n    sum(range(10**7))\n    await asyncio.sleep(0)",
}
DAEMON_END = (
    "def daemon():\n    asyncio.run(job())\n"
    "for _ in range(3):\n    threading.Thread(target=daemon, daemon=True).start()\ntime.sleep(0.15)"
)


def _outcome(*arguments):
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, re.sub(r"0x[0-9a-f]+", "0x", ended.stdout)


@pytest.mark.parametrize("body", list(DAEMONS.values()), ids=list(DAEMONS))
def test_daemon_loops_at_work_do_not_disturb_the_end(tmp_path, body):
    path = tmp_path / "program.py"
    path.write_text(HEAD.format(body=textwrap.indent(body, "    ")) + DAEMON_END)
    assert _outcome("-m", "ferrio", path) == (0, "")
