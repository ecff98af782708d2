"""The line protocol of examples/rust-extension and its twin on tokio: one program runs on both, and each talks to the
other."""

import json
import subprocess
import sys
import textwrap

import pytest

# tokio's threads may abort a process whose interpreter ends, so each program has a process, which it ends itself.
PROGRAM = """
import asyncio, importlib, json, os, sys
import ferrio

client_module, server_module = map(importlib.import_module, sys.argv[1:3])

async def upper(line):
    await asyncio.sleep(0)
    return line.upper()

async def talk(port, number):
    client = await client_module.connect("127.0.0.1", port)
    return [await client.request(f"{number} {turn} zw\\u00f6lf") for turn in range(5)]

async def main():
    server = server_module.serve(upper)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(talk(server.port, number)) for number in range(5)]
    server.close()
    print(json.dumps([task.result() for task in tasks]), flush=True)

with asyncio.Runner(loop_factory=ferrio.new_event_loop if sys.argv[3] == "ferrio" else None) as runner:
    runner.run(main())
    os._exit(0)
"""


@pytest.mark.parametrize("loop", ["ferrio", "stock"])
@pytest.mark.parametrize(
    ("client", "server"),
    [
        ("rust_extension_tokio", "rust_extension_tokio"),
        ("rust_extension", "rust_extension_tokio"),
        ("rust_extension_tokio", "rust_extension"),
    ],
)
def test_clients_and_servers_of_both_talk(client, server, loop):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), client, server, loop]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == [[f"{number} {turn} ZWÖLF" for turn in range(5)] for number in range(5)]
