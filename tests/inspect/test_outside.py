"""`ferrio ps`, `tree` and `stacks` of a process that was never asked to be inspected: its memory is read."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ferrio.inspect import schema
from tests.inspect.test_snapshot import conforms
from tests.support.another_user import skip_unless_another_user_can_run_python
from tests.support.uninspected import OLD, STOCK, WHOLE, fails, shows, threads_of, uninspected

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

since_314 = pytest.mark.skipif(sys.version_info < (3, 14), reason=OLD)

TASKS = """
async def leaf():
    await asyncio.get_running_loop().create_future()

async def middle():
    await leaf()

async def waits_for(task):
    await task

async def main():
    shared = asyncio.create_task(middle(), name="shared")
    waiters = [asyncio.create_task(waits_for(shared), name=name) for name in ("one", "two")]
    asyncio.get_running_loop().call_soon(print, "ready")
    await leaf()
"""


@since_314
@pytest.mark.parametrize("setup", [WHOLE, STOCK], ids=["ferrio", "asyncio"])
def test_tasks_are_shown_and_nothing_runs_in_the_process(tmp_path, setup):
    with uninspected(tmp_path, TASKS, setup) as program:
        before = threads_of(program)
        heading, columns, *rows = shows(program, "ps").splitlines()
        tree = shows(program, "tree").splitlines()[1:]
        stacks = shows(program, "stacks")
        assert threads_of(program) == before
        assert not program.directory.exists()
    assert heading.startswith("from outside: ")
    assert columns.split("  ")[0] == "tid"
    assert "awaited by" in columns
    cells = {row.split()[2]: row for row in rows}
    assert set(cells) == {"Task-1", "shared", "one", "two"}
    assert "unknown" in cells["shared"]
    assert "leaf (" in cells["shared"]
    assert "middle (" in cells["shared"]
    assert cells["shared"].endswith(("one, two", "two, one"))
    assert "task: shared" in cells["one"]
    assert "    shared [unknown] leaf" in "\n".join(tree)
    assert stacks.count("leaf (") == 2


@since_314
def test_json_has_the_schema_and_says_that_it_was_taken_from_outside(tmp_path):
    with uninspected(tmp_path, TASKS) as program:
        snapshot = json.loads(shows(program, "ps", "--json"))
    conforms(snapshot, schema())
    assert snapshot["outside"] is True
    assert snapshot["partial"] is True
    assert "memory" in snapshot["reason"]
    assert snapshot["pid"] == program.pid
    assert snapshot["program"].endswith("program.py")
    assert snapshot["python"] == sys.version.split()[0].split("+")[0]
    assert snapshot["ferrio"] is None
    assert snapshot["inspecting"] is None
    tasks = {task["name"]: task for task in snapshot["tasks"]}
    assert [frame["function"] for frame in tasks["shared"]["stack"]] == ["middle", "leaf"]
    assert {task["state"] for task in tasks.values()} == {None}
    assert tasks["one"]["waits_for"]["tasks"] == [tasks["shared"]["id"]]
    assert sorted(tasks["shared"]["awaited_by"]) == sorted([tasks["one"]["id"], tasks["two"]["id"]])


@since_314
@pytest.mark.parametrize("setup", [WHOLE, STOCK], ids=["ferrio", "asyncio"])
def test_the_running_task_is_shown_with_what_it_calls(tmp_path, setup):
    code = """
    def spin():
        print("ready")
        while True:
            pass

    async def main():
        asyncio.current_task().set_name("spins")
        waiting = asyncio.create_task(asyncio.sleep(1000), name="waiting")
        await asyncio.sleep(0)
        spin()
    """
    with uninspected(tmp_path, code, setup) as program:
        snapshot = json.loads(shows(program, "stacks", "--json"))
        text = shows(program, "stacks")
    tasks = {task["name"]: task for task in snapshot["tasks"]}
    assert tasks["spins"]["state"] == "running"
    assert [frame["function"] for frame in tasks["spins"]["stack"]] == ["main", "spin"]
    assert tasks["waiting"]["state"] is None
    assert "1 task [running]: spins" in text


@since_314
def test_a_circle_of_awaits_is_one_line_and_the_views_end(tmp_path):
    code = """
    async def waits(tasks, place):
        await asyncio.sleep(0)
        await tasks[place]

    async def main():
        tasks = []
        tasks += [asyncio.create_task(waits(tasks, 1), name="a"), asyncio.create_task(waits(tasks, 0), name="b")]
        asyncio.get_running_loop().call_later(0.1, print, "ready")
        await tasks[0]
    """
    with uninspected(tmp_path, code) as program:
        for view in ("ps", "tree", "stacks"):
            (line,) = (line for line in shows(program, view).splitlines() if line.startswith("circle of awaits: "))
            assert line.split(": ")[1] in ("a -> b -> a", "b -> a -> b")


@since_314
def test_a_program_without_tasks_has_none(tmp_path):
    with uninspected(tmp_path, "async def main(): pass", "print('ready')\ntime.sleep(1000)") as program:
        assert json.loads(shows(program, "ps", "--json"))["tasks"] == []


@since_314
def test_tasks_that_come_and_go_are_read_or_refused_in_one_line(tmp_path):
    code = """
    async def short(n):
        await asyncio.sleep(0)
        if n:
            await asyncio.create_task(short(n - 1))

    async def main():
        asyncio.create_task(asyncio.sleep(1000), name="stays")
        print("ready")
        while True:
            await asyncio.gather(*(short(5) for _ in range(20)))
    """
    with uninspected(tmp_path, code) as program:
        for _ in range(5):
            result = program.command("ps", program.pid)
            if result.returncode == 2 and "may not be read" in result.stderr:
                pytest.skip("processes may not be traced here")
            assert result.returncode in (0, 2)
            assert len(result.stderr.splitlines()) == (result.returncode == 2), result.stderr
        assert program.process.poll() is None


@since_314
def test_a_stopped_process_can_be_read(tmp_path):
    with uninspected(tmp_path, TASKS) as program:
        program.process.send_signal(signal.SIGSTOP)
        assert "shared" in shows(program, "ps")


def test_processes_that_cannot_be_read_get_one_line(tmp_path):
    with subprocess.Popen(["sleep", "1000"]) as other:
        try:
            with uninspected(tmp_path, TASKS) as program:
                assert fails(program, "ps", other.pid) == f"ferrio: process {other.pid} is not a Python program"
                thread = next(iter({*os.listdir(f"/proc/{program.pid}/task")} - {str(program.pid)}), None)
                if thread is not None:
                    assert "is a thread of process" in fails(program, "ps", thread)
                pid = program.pid
                program.process.kill()
                while program.process.poll() is None:
                    pass
                assert f"there is no process {pid}" in fails(program, "ps", pid)
        finally:
            other.kill()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python can be read")
def test_an_older_python_says_how_to_start(tmp_path):
    with uninspected(tmp_path, TASKS) as program:
        for view in ("ps", "why"):
            line = fails(program, view, program.pid)
            assert "start it with `ferrio run --inspect`" in line
            assert "from 3.14 on" in line


@since_314
@pytest.mark.parametrize("view", ["ps", "why"])
def test_another_user_and_a_lack_of_permission_are_one_line(tmp_path, view):
    skip_unless_another_user_can_run_python()
    # A process that has changed its user may be traced by root only.
    with uninspected(tmp_path, TASKS, "os.setuid(65534)") as program:
        for user, text in ((65533, "belongs to another user"), (65534, "may not be read from outside")):
            code = f"import os; import ferrio.__main__ as m; os.setuid({user}); m.main({[view, str(program.pid)]!r})"
            result = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
            )
            assert (result.returncode, result.stdout) == (2, ""), result
            (line,) = result.stderr.splitlines()
            assert text in line
