"""Code whose builtins are restricted may use asyncio: what ferrio imports, it imports with the interpreter's own."""

import subprocess
import sys
import textwrap

import pytest

JOB = """
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x")
    say(await reader.read(1))
    writer.close()
    await writer.wait_closed()
    server.close()
    child = await asyncio.create_subprocess_exec("true")
    say(await child.wait())
    say(await asyncio.wait_for(asyncio.to_thread(work), 60))
    queue = asyncio.Queue()
    await queue.put(1)
    async with asyncio.timeout(60), asyncio.Lock():
        say(await asyncio.gather(queue.get(), asyncio.sleep(0)))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    transport.close()
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
"""

PROGRAM = """
import asyncio, builtins, sys

async def answer(reader, writer):
    writer.write(await reader.read(1))
    await writer.drain()
    writer.close()

def fail():
    raise ValueError("failed")

def refuse(*_):
    raise ImportError("no imports here")

names = {{"__builtins__": {builtins}, "asyncio": asyncio, "say": print, "answer": answer, "work": int, "fail": fail}}
exec({job!r}, names)
loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: print(context["exception"]))
loop.run_until_complete(names["main"]())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
"""


@pytest.mark.parametrize("builtins", ["{}", "{'__import__': refuse}"], ids=["none", "import refuses"])
def test_code_with_restricted_builtins_uses_asyncio(builtins):
    program = textwrap.dedent(PROGRAM).format(builtins=builtins, job=JOB)
    outcomes = []
    for start in ("", "import ferrio; ferrio.install()\n"):
        done = subprocess.run(
            [sys.executable, "-c", start + program], capture_output=True, text=True, timeout=120, check=False
        )
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes[0][0] == 0
    assert outcomes[1] == outcomes[0]
