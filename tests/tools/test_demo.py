"""The demo and the chat that it shows: every delivery is checked, and both loops are told apart."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.chat.clients import Party, WrongDelivery, converse, hold
from examples.chat.server import WELCOME, ChatServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
STOCK = [sys.executable]
FERRIO = [sys.executable, "-m", "ferrio"]
LOOPS = pytest.mark.parametrize("interpreter", [STOCK, FERRIO], ids=["asyncio", "ferrio"])

pytestmark = pytest.mark.timeout(120)


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    # Wide enough for tables not to wrap what is looked for.
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=110, check=False)


@LOOPS
def test_chat_delivers_everything(interpreter, tmp_path):
    file = tmp_path / "figures.json"
    done = run(*interpreter, "-m", "examples.chat", "--clients=20", "--lines=3", f"--json={file}")
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(file.read_text())
    assert figures["deliveries"] == figures["expected"] == 20 * 3 * 19
    assert figures["loop"].startswith("ferrio." if "ferrio" in interpreter else "asyncio.")


@contextlib.asynccontextmanager
async def serving(handle):
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


class Forgetful(ChatServer):
    """Loses every fifth message."""

    count = 0

    def _pass_on(self, speaker, message):
        self.count += 1
        if self.count % 5:
            super()._pass_on(speaker, message)


def test_a_lost_message_is_noticed():
    async def main():
        async with serving(Forgetful(patience=5).handle) as port:
            await hold(Party(clients=3, lines=4), port, 20)

    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(main())
    assert caught.group_contains(WrongDelivery)


def test_a_client_that_is_not_welcome_complains():
    async def turn_away(reader, writer):
        await reader.readline()
        writer.close()

    async def main():
        async with serving(turn_away) as port:
            await converse(0, Party(2, 1), port, asyncio.Barrier(1))

    with pytest.raises(WrongDelivery):
        asyncio.run(main())


def test_a_silent_client_is_disconnected():
    async def main():
        chat = ChatServer(patience=0.05)
        async with serving(chat.handle) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"silent\n")
            assert await reader.readline() == WELCOME
            assert await reader.read() == b""
            await chat.until_nobody_is_left()
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clients=1"], "argument --clients: must be a whole number, at least 2, not '1'"),
        (["--lines=some"], "argument --lines: must be a whole number, at least 1, not 'some'"),
        (["--loop=fastest"], "argument --loop: invalid choice: 'fastest'"),
    ],
)
def test_chat_explains_a_wrong_option(options, message):
    done = run(*STOCK, "-m", "examples.chat", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_every_file_of_the_chat_is_in_its_table():
    readme = (EXAMPLES / "README.md").read_text().split("## The chat")[1]
    rows = {line.partition("](chat/")[2].partition(")")[0] for line in readme.splitlines() if "](chat/" in line}
    assert rows == {path.name for path in EXAMPLES.glob("chat/*.py") if path.name != "__init__.py"}


def test_demo_shows_its_parts_and_sums_them_up():
    done = run(*STOCK, "-m", "examples.demo", "--short")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 clients, 760 deliveries a run, each checked." in done.stdout
    assert "Both saw the same pages and the same errors." in done.stdout
    summary = done.stdout.split("What the demo has shown")[1]
    assert "deliveries" in summary
    assert "crawl" in summary
    assert "ferrio top" in summary
    assert re.search(r"two_locks\.py: .* DEADLOCK of 2 tasks", summary)
    assert re.search(r"blocked_loop\.py: .* look_up \(blocked_loop\.py:8\)", summary)
    assert re.search(r"found by ferrio\.testing .* schedule \d+, replayed", summary)


def test_demo_refuses_a_part_that_is_not_there():
    done = run(*STOCK, "-m", "examples.demo", "opera")
    assert done.returncode == 2
    assert "no such part: opera" in done.stderr
