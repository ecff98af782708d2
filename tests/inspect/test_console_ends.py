"""`ferrio console` from its start to its end: errors, options, Ctrl-C, and what becomes of the process meanwhile."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ferrio
import ferrio.inspect
from ferrio.inspect._chains import Index
from ferrio.inspect._console import _answers, _server, _tables
from ferrio.inspect._console._observed import Look
from ferrio.inspect._console._series import quantile
from tests.support.consoles import console
from tests.support.inspected import asking, inspected

pytestmark = pytest.mark.timeout(120)

WAITING = """
async def main():
    print("ready")
    await asyncio.Event().wait()
"""

FORKS = """
import os, signal

def fork(*_):
    if os.fork() == 0:
        while True:
            signal.pause()

async def main():
    signal.signal(signal.SIGUSR2, fork)
    print("ready")
    while True:
        await asyncio.sleep(0.01)
"""

BLOCKS = """
import time

def load():
    time.sleep(0.3)

async def main():
    print("ready")
    while True:
        load()
        await asyncio.sleep(0.01)
"""


def test_errors_are_one_clear_line_with_status_2(tmp_path):
    with inspected(tmp_path, WAITING) as program:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = program.command("console", program.pid, "--port", port)
            assert result.returncode == 2
            assert result.stderr == f"ferrio: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
        for options, says in (
            (("1.5",), "neither the number of a process nor a path"),
            ((program.pid, "--port", "x"), "argument --port: invalid"),
            ((program.pid, "--port", "70000"), "argument --port: invalid"),
            ((program.pid, "--interval", "0"), "argument --interval: invalid"),
            ((program.pid, "--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid: "),
            # Later ones are attached to: test_attach.py.
            *([((os.getpid(),), f"process {os.getpid()} is not inspected: ")] if sys.version_info < (3, 14) else []),
        ):
            result = program.command("console", *options)
            assert (result.returncode, result.stdout) == (2, "")
            assert re.fullmatch(r"ferrio.*: .+\n", result.stderr)
            assert says in result.stderr


def test_the_address_is_printed_for_people_and_ctrl_c_ends_it_quietly(tmp_path):
    with inspected(tmp_path, WAITING) as program:
        command = [sys.executable, "-m", "ferrio", "console", "--no-browser"]
        environment = program.environment | asking(tmp_path)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            assert lines[0] == f"The console of process {program.pid} is at\n"
            assert re.fullmatch(r"    http://127\.0\.0\.1:\d+/#[\w-]{32}\n", lines[1])
            assert lines[2] == "Ctrl-C ends it.\n"
            process.send_signal(signal.SIGINT)
            assert process.communicate() == ("", "")
            assert process.returncode == 0


def test_a_chosen_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with inspected(tmp_path, WAITING) as program, console(program, "--port", str(port)) as served:
        assert served.port == port


def test_it_listens_on_loopback_only(tmp_path):
    with inspected(tmp_path, WAITING) as program, console(program) as served:
        listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
        places = [line.split()[1] for line in listening if line.split()[1].endswith(f":{served.port:04X}")]
        assert {place.split(":")[0] for place in places} == {"0100007F"}


def test_the_token_is_in_no_log_and_the_private_file_for_the_browser_is_removed(tmp_path):
    with inspected(tmp_path, WAITING) as program:
        command = [sys.executable, "-m", "ferrio", "console", str(program.pid)]
        bare = {name: value for name, value in program.environment.items() if "DISPLAY" not in name}
        environment = bare | {"FERRIO_INSPECT": ""}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            while "Ctrl-C" not in process.stdout.readline():
                pass
            while not (files := list(program.directory.glob("console-*.html"))):
                pass
            assert files[0].stat().st_mode & 0o777 == 0o600
            process.send_signal(signal.SIGINT)
            assert process.communicate() == ("", "")
        assert not list(program.directory.glob("console-*.html"))


def test_the_page_is_told_that_the_process_has_ended_and_keeps_what_was_seen(tmp_path):
    with inspected(tmp_path, WAITING) as program, console(program) as served:
        served.enter()
        with served.events() as events:
            assert not next(events)["ended"]
            program.process.kill()
            program.process.wait()
            status = next(each for each in events if each["ended"])
        assert status["counts"]["tasks"] == 1
        assert served.data("rows?of=tasks")["rows"][0]["name"] == "Task-1"
        code, said = served.interrupt()
        assert (code, said) == (0, f"ferrio: process {program.pid} has ended; the page keeps what was seen last\n")


def test_a_stopped_process_is_said_to_be_so_and_is_seen_again_later(tmp_path, monkeypatch):
    with inspected(tmp_path, WAITING) as program, console(program) as served:
        served.enter()
        with served.events() as events:
            first = next(events)
            program.process.send_signal(signal.SIGSTOP)
            troubled = next(each for each in events if each["trouble"])
            assert not troubled["ended"]
            assert "stopped" in troubled["trouble"]
            program.process.send_signal(signal.SIGCONT)
            later = next(each for each in events if not each["trouble"])
            assert later["version"] > first["version"]


def test_a_process_that_forks_stays_the_one_that_is_shown(tmp_path):
    with inspected(tmp_path, FORKS) as program, console(program) as served:
        served.enter()
        with served.events() as events:
            before = next(events)["version"]
            program.process.send_signal(signal.SIGUSR2)
            while len(list(program.directory.glob("*.sock"))) < 2:
                next(events)
            child = next(each for each in program.directory.glob("*.sock") if each != program.socket)
            status = next(each for each in events if each["version"] > before + 2 and not each["trouble"])
        assert status["process"]["pid"] == program.pid
        os.kill(int(child.stem), signal.SIGKILL)


def test_blocks_are_told_with_stack_and_merged_by_stack(tmp_path):
    with inspected(tmp_path, BLOCKS) as program, console(program) as served:
        served.enter()
        with served.events() as events:
            next(each for each in events if each["counts"]["blocks"] >= 2)
        found = served.data("blocks")
        block = found["blocks"][-1]
        assert block["where"]["function"] == "load"
        assert block["culprit"] == "task 'Task-1' (main)"
        stacks = [each["stack"] for each in found["stacks"]]
        assert any(stack[0] == "task Task-1" and stack[-1].startswith("load (") for stack in stacks)
        assert sum(each["seconds"] for each in found["stacks"]) >= 0.2


def test_the_curves_have_the_loops_share_of_time(tmp_path):
    with inspected(tmp_path, BLOCKS) as program, console(program) as served:
        served.enter()
        with served.events() as events:
            next(each for each in events if each["version"] > 4 and not each["trouble"])
        points = served.data("overview")["points"]
        shares = [each["utilization"] for each in points if each["utilization"] is not None]
        assert shares
        assert all(0 <= each <= 1 for each in shares)
        last = points[-1]["version"]
        assert all(each["version"] > last for each in served.data(f"overview?since={last}")["points"])


def test_the_process_is_left_alone_while_no_page_listens(tmp_path):
    with inspected(tmp_path, WAITING) as program, console(program) as served:
        served.enter()
        with served.events() as events:
            next(events)
        versions = []
        # Each of these takes as long as several looks would.
        for _ in range(2):
            program.snapshot()
            versions.append(served.data("rows?of=tasks")["version"])
        assert versions[1] - versions[0] <= 1


def test_every_list_of_a_snapshot_has_a_table_whose_rows_have_its_columns():
    async def main():
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        child = await asyncio.create_subprocess_exec("cat", stdin=-1)
        seen = threading.Event()
        job = loop.run_in_executor(None, seen.wait)
        lock = asyncio.Lock()
        async with lock:
            waiting = loop.create_task(lock.acquire())
            # That nobody keeps it is a lint.
            loop.create_task(asyncio.sleep(1000))  # noqa: RUF006
            await asyncio.sleep(0.01)
            snapshot = ferrio.inspect.snapshot()
        seen.set()
        await waiting
        await job
        # Before Python 3.12, without input the child's would stay open.
        await child.communicate(b"")
        server.close()
        return snapshot

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        snapshot = runner.run(main())
    look = Look(1, 0.0, None, False, snapshot, Index(snapshot), [], None, None)
    for name in _tables.LISTS:
        table = _tables.table(look, name)
        assert table is not None
        assert table.rows, name
        assert [each["name"] for each in table.columns] == list(table.rows[0])
        assert all(each["tells"] for each in table.columns)
        assert len(_answers.encoded(table.rows)) > 10
    assert _tables.table(look._replace(snapshot=None), "servers") is None


def test_unknown_values_come_last_in_both_directions():
    columns = [{"name": "age", "title": "Age", "kind": "seconds", "tells": ""}]
    table = _tables.Table(columns, [{"age": None}, {"age": 2}, {"age": 10}])
    assert [row["age"] for row in table.chosen("age", False, "", "")] == [2, 10, None]
    assert [row["age"] for row in table.chosen("age", True, "", "")] == [10, 2, None]


def test_addresses_are_searched_only_when_one_is_asked_for():
    table = _tables.Table([], [{"name": "a", "id": "0x123"}, {"name": "line 123", "id": "0x456"}])
    assert [row["name"] for row in table.chosen("", False, "123", "")] == ["line 123"]
    assert [row["name"] for row in table.chosen("", False, "0x123", "")] == ["a"]


def test_a_quantile_is_the_upper_bound_of_its_bucket():
    assert quantile([0.001, 0.01], [98, 1, 1], 0.5) == 0.001
    assert quantile([0.001, 0.01], [98, 1, 1], 0.99) == 0.01
    assert quantile([0.001, 0.01], [0, 0, 0], 0.5) is None


def test_every_file_of_the_page_is_package_data():
    assert {"/", "/main.js", "/base.css", "/icon.svg"} <= _server.page_files().keys()
