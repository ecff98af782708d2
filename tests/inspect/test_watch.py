"""`ferrio watch` says from outside what blocks a loop, while it blocks."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.inspected import LOOP, WHOLE, Inspected, inspected

pytestmark = pytest.mark.timeout(120)

# `block` blocks for ever; the line that does is marked.
BLOCKING = {
    "sleep": """
        import time
        def block():
            time.sleep(1000)  # here
    """,
    "python": """
        def block():
            number = 0
            while True: number += 1  # here
    """,
    "regex": """
        import re
        def block():
            return re.match(r"(a+)+$", "a" * 100 + "b")  # here
    """,
    "json": """
        import json
        document = json.dumps([{"name": "x" * 10, "values": list(range(100))}] * 20000)
        def block():
            while True:
                json.loads(document)  # here
    """,
    "request": """
        import socket, urllib.request
        server = socket.create_server(("127.0.0.1", 0))
        def block():
            urllib.request.urlopen("http://127.0.0.1:%d" % server.getsockname()[1])  # here
    """,
}

MAIN = """
async def handle():
    block()

async def main():
    print("ready")
    await asyncio.create_task(handle(), name="request 7")
"""


def program(body: str) -> str:
    """Blocks once the program is watched, so that nothing of it is missed."""
    return body.replace("\n        ", "\n").replace("\n    ", "\n    ") + MAIN


@contextlib.contextmanager
def watched(inspected: Inspected, *options: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The reports, as they come."""
    command = [sys.executable, "-m", "ferrio", "watch", str(inspected.pid), "--json", *options]
    environment = inspected.environment | {"FERRIO_INSPECT": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield (json.loads(line) for line in process.stdout)
        finally:
            process.kill()


def marked_line(code: str) -> int:
    """The line of the program with the mark; `inspected` puts one line in front."""
    return next(number for number, line in enumerate(code.splitlines(), 2) if line.endswith("# here"))


@pytest.mark.parametrize("run", [WHOLE, LOOP], ids=["whole", "loop only"])
@pytest.mark.parametrize("kind", BLOCKING)
def test_the_task_and_the_line_that_block_are_named_while_they_block(kind, run, tmp_path):
    code = program(BLOCKING[kind])
    with inspected(tmp_path, code, run=run) as blocked, watched(blocked) as reports:
        for report in reports:
            places = [(frame["function"], frame["line"]) for frame in report["stack"]]
            # A sample may be taken elsewhere in the loop of `block`.
            if ("block", marked_line(code)) in places and report["task_name"] in ("request 7", None):
                break
        assert [name for name, _ in places][:2] == ["handle", "block"]
        assert not report["ended"]
        assert report["pid"] == blocked.pid
        if run is WHOLE:
            assert report["task_name"] == "request 7"
            assert report["coroutine"] == "handle"


def test_what_keeps_the_lock_is_in_the_answer_of_every_view(tmp_path):
    with inspected(tmp_path, program(BLOCKING["regex"])) as blocked:
        while "block (" not in (text := blocked.show("why")):
            assert blocked.process.poll() is None
        assert "partial: C code" in text
        assert re.search(r"blocked for \S+ seconds by task 'request 7' \(handle\)", text)


def test_a_report_shows_the_stack_the_creator_and_who_awaits(tmp_path):
    code = program(BLOCKING["sleep"])
    with inspected(tmp_path, code) as blocked:
        command = [sys.executable, "-m", "ferrio", "watch", str(blocked.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=blocked.environment) as process:
            assert process.stdout is not None
            seen = ""
            while "Awaited by" not in seen and blocked.process.poll() is None and process.poll() is None:
                seen += process.stdout.readline()
                if re.search(r"^The loop .*", seen) and "Awaited by" not in seen and seen.count("The loop") > 2:
                    break
            process.kill()
        assert re.search(
            r"^The loop has been blocked for \S+ seconds by task 'request 7' \(handle\) at block \(\S+program.py", seen
        )


def test_the_first_report_shows_the_stack_the_creator_and_who_awaits(tmp_path):
    code = """
    import time
    go = asyncio.Event()

    async def handle():
        await go.wait()
        while True:
            time.sleep(0.001)

    async def main():
        task = asyncio.create_task(handle(), name="request 7")
        await asyncio.sleep(0)
        print("ready")
        asyncio.get_running_loop().call_later(1, go.set)
        await task
    """
    with inspected(tmp_path, code) as blocked, watched(blocked) as reports:
        report = next(report for report in reports if report["task_name"] == "request 7")
        assert report["created"]["function"] == "main"
        assert [(each["name"], each["where"]["function"]) for each in report["awaited_by"]] == [("Task-1", "main")]


def test_flame_files_have_the_time_of_each_stack(tmp_path):
    # A block ends when its stack has been taken, however busy the machine is.
    code = """
    import threading, time, ferrio.inspect
    gate = threading.Lock()
    gate.acquire()
    def open_gate():
        last = None
        while True:
            for block in ferrio.inspect.blocks()[-1:]:
                if block["samples"] and not block["ended"] and block["number"] != last:
                    last = block["number"]
                    gate.release()
            time.sleep(0.01)
    threading.Thread(target=open_gate, daemon=True).start()
    async def main():
        print("ready")
        while True:
            gate.acquire()
            await asyncio.sleep(0)
    """
    with inspected(tmp_path, code) as blocked:
        text, profile = tmp_path / "flame.txt", tmp_path / "flame.json"
        for path in (text, profile):
            result = blocked.command("watch", blocked.pid, "-n", 2, "--flame", path)
            assert (result.returncode, result.stderr) == (0, "")
        for line in text.read_text().splitlines():
            assert re.fullmatch(r"task Task-1;main \(\S+program\.py:\d+\) \d+", line)
        found = json.loads(profile.read_text())
        (profiled,) = found["profiles"]
        assert len(profiled["samples"]) == len(profiled["weights"]) > 0
        assert profiled["endValue"] > 0
        names = [found["shared"]["frames"][index]["name"] for index in profiled["samples"][0]]
        assert names[0] == "task Task-1"
        assert names[1].startswith("main (")


def test_a_stopped_process_is_not_blocked(tmp_path):
    code = """
    async def main():
        print("ready")
        asyncio.current_task().set_name("0")
        while True:
            await asyncio.sleep(0)
    """
    with inspected(tmp_path, code) as stopped:
        loop = stopped.snapshot()["loops"][0]
        assert loop["delay"]["bounds"][0] == 0.001
        for _ in range(3):
            os.kill(stopped.pid, signal.SIGSTOP)
            # The system says when it is stopped; then it stays so for many times the limit.
            while stopped_state(stopped.pid) != "T":
                pass
            subprocess.run([sys.executable, "-c", "import time; time.sleep(0.7)"], check=True)
            os.kill(stopped.pid, signal.SIGCONT)
            stopped.snapshot()
        assert [block for block in stopped.snapshot()["blocks"] if block["duration"] > 0.5] == []


def stopped_state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(") ", 1)[1][0]


def test_watching_a_process_without_a_socket_is_one_line(tmp_path):
    with inspected(tmp_path, "async def main():\n    print('ready')\n    await asyncio.Event().wait()") as program_:
        result = program_.command("watch", 1 << 30)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        result = program_.command("watch", program_.pid, "--flame", tmp_path / "missing" / "file")
        assert result.returncode == 2
        assert result.stderr.startswith("ferrio: ")
        assert result.stderr.count("\n") == 1


def test_it_ends_with_the_process_and_after_its_time(tmp_path):
    with inspected(tmp_path, "async def main():\n    print('ready')\n    await asyncio.Event().wait()") as ends:
        assert ends.command("watch", ends.pid, "-d", "0.1").returncode == 0
        with watched(ends) as reports:
            ends.process.kill()
            assert list(reports) == []
