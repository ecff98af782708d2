"""`ferrio top`: what it shows of made-up snapshots, of a program in a pipe, and on a terminal."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest

from ferrio.inspect import _top
from tests.support.inspected import inspected

pytestmark = pytest.mark.timeout(120)

WORKERS = """
async def work(queue):
    while True:
        await queue.get()

async def main():
    queue = asyncio.Queue()
    workers = [asyncio.create_task(work(queue), name=f"worker [red]{number}\\x1b[5m") for number in range(5)]
    print("ready")
    await asyncio.Event().wait()
"""


def task(name: str, line: int = 1, *, kind: str = "event", until: float | None = None, **fields: Any) -> dict[str, Any]:
    wait: dict[str, Any] = {"kind": kind, "primitive": None, "tasks": [], "tasks_total": 0, "needs": None}
    wait |= {"until": until, "job": None, "connection": None, "child": None}
    stack = [
        {"function": "handle", "file": "server.py", "line": line, "asyncio": False},
        {"function": "Event.wait", "file": None, "line": None, "asyncio": True},
    ]
    made = {
        "id": f"0x{name}",
        "name": name,
        "state": "waiting",
        "stack": stack,
        "waits_for": wait,
        "age": None,
        "times": None,
    }
    return made | {"awaited_by": [], "loop": "0x1", "timeout": None, "created": None} | fields


def snapshot(at: float, *tasks: dict[str, Any]) -> Any:
    made = {"pid": 7, "program": "server.py", "python": "3.13.0", "time": at, "took": 0.01, "partial": False}
    lists = dict.fromkeys(("loops", "primitives", "deadlocks", "jobs", "connections", "children", "lints"), ())
    return made | lists | {"tasks": list(tasks), "reason": None}


def places(sample: _top.Sample) -> dict[str, float]:
    return {row["name"]: row["same_place"] for row in sample["rows"]}


def test_a_task_is_in_the_same_place_since_it_was_first_seen_there():
    watch = _top.Watch()
    first = watch.sample(snapshot(10.0, task("a"), task("b")))
    assert (first["since"], first["came"], first["gone"]) == (None, None, None)
    assert places(first) == {"a": 0, "b": 0}
    second = watch.sample(snapshot(11.5, task("a"), task("b", line=2), task("c")))
    assert (second["since"], second["came"], second["gone"]) == (1.5, 1, 0)
    assert places(second) == {"a": 1.5, "b": 0, "c": 0}
    third = watch.sample(snapshot(12.0, task("a"), task("b", line=2)))
    assert (third["came"], third["gone"]) == (0, 1)
    assert places(third) == {"a": 2.0, "b": 0.5}


def test_two_sleeps_in_one_place_are_told_apart_by_their_ends():
    watch = _top.Watch()
    watch.sample(snapshot(10.0, task("long", kind="sleep", until=5.0), task("short", kind="sleep", until=0.3)))
    tasks = task("long", kind="sleep", until=4.001), task("short", kind="sleep", until=0.3)
    assert places(watch.sample(snapshot(11.0, *tasks))) == {"long": 1.0, "short": 0}


def test_rows_show_the_programs_own_line_and_can_be_sorted_and_grouped():
    sample = _top.Watch().sample(
        snapshot(1.0, task("b", age=2.0), task("a", age=3.0), task("c", line=9, state="running", waits_for=None))
    )
    names = {order: [row["name"] for row in _top.ordered(sample["rows"], order)] for order in _top.ORDERS}
    assert names["n"] == ["a", "b", "c"]
    assert names["a"] == ["c", "a", "b"]  # an unknown age comes first: it was there before inspection began
    assert names["s"] == ["c", "a", "b"]
    assert [row["name"] for row in _top.ordered(sample["rows"], "n", backwards=True)] == ["c", "b", "a"]
    assert {row["where"] for row in sample["rows"]} == {"handle (server.py:1)", "handle (server.py:9)"}
    groups = _top.ordered(_top.grouped(sample["rows"]), "c")
    assert [(row["name"], row["tasks"], row["age"]) for row in groups] == [("b, …", 2, 3.0), ("c", 1, None)]


def test_a_still_has_so_many_rows_and_says_how_many_it_leaves_out():
    sample = _top.Watch().sample(snapshot(1.0, *(task(str(number)) for number in range(10))))
    lines = list(_top.still(sample, sample["rows"], 3))
    assert lines[-1] == "… and 7 more"
    assert len([line for line in lines if "handle (" in line]) == 3


def test_in_a_pipe_top_is_one_still(tmp_path):
    with inspected(tmp_path, WORKERS) as program:
        program.until_waiting(**{"Task-1": "event"})
        text = program.show("top", "--interval", "0.05", "--rows", "4")
        assert f"process {program.pid}: " in text
        assert "6 tasks on 1 loop\n" in text
        assert "0 tasks came and 0 went" in text
        assert text.endswith("… and 2 more\n")
        assert "\x1b" not in text
        groups = program.show("top", "--interval", "0.05", "--groups", "--sort", "count")
        assert re.search(r"worker .*, …\s+5 +waiting .* queue get .* work \(", groups)
        sample = json.loads(program.show("top", "--interval", "0.05", "--json"))
        assert sorted(row["state"] for row in sample["rows"]) == ["waiting"] * 6


def test_a_wrong_option_is_one_line(tmp_path):
    with inspected(tmp_path, WORKERS) as program:
        for options in (["--interval", "0"], ["--interval", "nan"], ["--sort", "colour"], ["--rows", "many"]):
            result = program.command("top", *options)
            assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


class Screen:
    """`ferrio top` on a terminal."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        self.descriptor, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        command = [sys.executable, "-m", "ferrio", "top", "--interval", "0.1", *map(str, arguments)]
        variables = os.environ | {"TERM": "xterm"} | environment
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=variables, start_new_session=True
        )
        os.close(terminal)
        self.output = ""

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)

    def until(self, pattern: str) -> str:
        """Reads until the pattern comes; the test's timeout ends the wait."""
        while not re.search(pattern, self.output):
            part = self._read()
            assert part, self.output
            self.output += part
        found, self.output = self.output, ""
        return found

    def _read(self) -> str:
        select.select((self.descriptor,), (), ())
        try:
            return os.read(self.descriptor, 1 << 16).decode(errors="replace")
        except OSError:  # nobody has the other end open
            return ""

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def end(self) -> tuple[int, str]:
        while part := self._read():
            self.output += part
        return self.process.wait(), self.output


@pytest.fixture
def on_terminal():
    """Starts `ferrio top` for a program, on a terminal of its own."""
    with contextlib.ExitStack() as screens:
        yield lambda program, *options, **variables: screens.enter_context(
            Screen(program.pid, *options, **{**program.environment, "FERRIO_INSPECT": "", **variables})
        )


def test_on_a_terminal_keys_change_what_is_shown(tmp_path, on_terminal):
    pytest.importorskip("rich", reason="the live screen is drawn by rich, which is not installed")
    with inspected(tmp_path, WORKERS) as program:
        screen = on_terminal(program)
        shown = screen.until(r"worker \[red\]4")
        assert "\x1b[5m" not in shown  # the program's own escape
        assert "by place" in shown
        screen.press("n")
        screen.until("by name")
        screen.press("r")
        screen.until("by name, backwards")
        screen.press("g")
        screen.until(r"worker \[red\]\d\S*, … +5 ")
        screen.press(" ")
        screen.until("PAUSED")
        screen.press("q")
        status, rest = screen.end()
        assert status == 0
        assert "\x1b[?1049l" in rest  # the terminal shows what it did before


def test_the_screen_ends_with_the_process(tmp_path, on_terminal):
    pytest.importorskip("rich", reason="the live screen is drawn by rich, which is not installed")
    with inspected(tmp_path, WORKERS) as program:
        screen = on_terminal(program)
        screen.until("worker")
        program.process.kill()
        program.process.wait()
        status, rest = screen.end()
        assert status == 0
        assert f"process {program.pid} has ended" in rest


def test_without_rich_a_terminal_gets_one_line(tmp_path, on_terminal):
    (tmp_path / "rich.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with inspected(tmp_path, WORKERS) as program:
        status, text = on_terminal(program, PYTHONPATH=path).end()
        assert status == 2
        assert "needs rich: pip install 'ferrio[inspect]'" in text
        status, text = on_terminal(program, "--once", PYTHONPATH=path).end()
        assert (status, "6 tasks on 1 loop" in text) == (0, True), text
