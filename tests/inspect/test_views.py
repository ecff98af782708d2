"""Each view of a program that hangs or is blocked says why, from outside, while it is so."""

import json
import re

import pytest

from tests.support.inspected import LOOP, STOCK, WHOLE, inspected

pytestmark = pytest.mark.timeout(120)
WAYS = pytest.mark.parametrize("run", [WHOLE, LOOP, STOCK], ids=["whole", "loop", "stock"])

TWO_LOCKS = """
async def transfer(first, second):
    async with first:
        await asyncio.sleep(0)
        async with second:  # line 6
            pass

async def main():
    left, right = asyncio.Lock(), asyncio.Lock()
    print("ready")
    async with asyncio.TaskGroup() as group:
        group.create_task(transfer(left, right), name="one")
        group.create_task(transfer(right, left), name="two")
"""


@WAYS
def test_a_deadlock_of_two_locks_is_explained_with_both_holders_and_lines(tmp_path, run):
    with inspected(tmp_path, TWO_LOCKS, run=run) as program:
        program.until_waiting(one="lock", two="lock")
        text = program.show("why")
        assert text.startswith("DEADLOCK of 2 tasks: ")
        for waits, holds in (("one", "two"), ("two", "one")):
            there = rf"task '{waits}' \(transfer\) waits at transfer \(\S*program.py:6\) in .*\n\s+for lock 0x\w+, "
            assert re.search(there + f"which task '{holds}' holds", text), text
        assert "a deadlock, none of them can go on" in text
        assert "DEADLOCK" not in program.show("why", "one").splitlines()[0]
        assert "-> back to task 'one': a deadlock" in program.show("why", "one")


@WAYS
def test_a_hung_task_group_names_the_child_that_hangs(tmp_path, run):
    code = """
    async def fetch(event):
        await event.wait()

    async def main():
        print("ready")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0), name="done soon")
            group.create_task(fetch(asyncio.Event()), name="hangs")
    """
    with inspected(tmp_path, code, run=run) as program:
        program.until_waiting(hangs="event")
        text = program.show("why", "Task-1")
        link = r"for task group: task 'hangs'\n(   created .*\n)?-> task 'hangs' \(fetch\) waits at fetch"
        assert re.search(link, text), text
        assert re.search(r"for event 0x\w+, which is not set", text)
        tree = program.show("tree").splitlines()
        assert re.match(r"Task-1 \[waiting\] TaskGroup\._(_aexit__|aexit) ", tree[0])  # 3.15 has a function more
        assert tree[1].startswith("    hangs [waiting] Event.wait")


@WAYS
@pytest.mark.parametrize(
    ("block", "place"),
    [("time.sleep(1000)", "main"), ("count()", "count"), ("sum(iter(int, 1))", "main")],
    ids=["sleep", "loop", "generator"],
)
def test_a_blocked_loop_shows_its_stack_while_it_is_blocked(tmp_path, run, block, place):
    code = f"""
    import time

    def count():
        while True:
            pass

    async def main():
        await asyncio.sleep(0)
        print("ready")
        {block}
    """
    if block.startswith("sum") and run != WHOLE:
        pytest.skip("the same for all")
    with inspected(tmp_path, code, run=run) as program:
        if block.startswith("sum"):
            # C code that never lets go of the interpreter: the answer says so.
            assert "partial: C code" in program.show("stacks")
            return
        snapshot = program.until(lambda seen: seen["tasks"][0]["stack"][-1]["function"] == place)
        (task,) = snapshot["tasks"]
        assert task["state"] == "running"
        functions = [frame["function"] for frame in task["stack"]]
        assert functions == ["main", place][: len(functions)]
        text = program.show("stacks")
        assert f"    {place} (" in text
        assert "which runs loop 0x" in text or run == LOOP


def test_a_regular_expression_that_keeps_the_interpreter_gets_a_partial_answer(tmp_path):
    code = """
    import re

    async def main():
        print("ready")
        re.match("(a+)+$", "a" * 60 + "b")
    """
    with inspected(tmp_path, code) as program:
        snapshot = program.until(lambda seen: seen["partial"])
        assert snapshot["tasks"] == []
        assert "interpreter's lock" in snapshot["reason"]
        assert {"ferrio-inspect", "ferrio-collect"} <= {thread["name"] for thread in snapshot["threads"]}
        assert program.show("why").startswith("partial: ")


@WAYS
def test_ps_has_a_line_for_each_task_and_stacks_count_equal_ones(tmp_path, run):
    code = """
    async def worker(event):
        await event.wait()

    async def main():
        event = asyncio.Event()
        tasks = [asyncio.create_task(worker(event), name=f"worker {number}") for number in range(5)]
        await asyncio.sleep(0)
        print("ready")
        await event.wait()
    """
    with inspected(tmp_path, code, run=run) as program:
        program.until_waiting(**{"Task-1": "event", "worker 4": "event"})
        lines = program.show("ps").splitlines()
        heading = "tid task id task name state waits for polls ran longest was ready coroutine stack awaited by"
        assert " ".join(lines[0].split()) == heading
        assert sorted(re.findall(r"worker \d", "\n".join(lines))) == [f"worker {number}" for number in range(5)]
        assert "5 tasks [event]: worker " in program.show("stacks")


def test_what_a_program_writes_into_names_does_nothing_to_a_terminal(tmp_path):
    code = r"""
    async def main():
        asyncio.current_task().set_name("\x1b[31mred\n\u202e")
        print("ready")
        await asyncio.sleep(1000)
    """
    with inspected(tmp_path, code) as program:
        program.until(lambda seen: seen["tasks"][0]["state"] == "waiting")
        for view in ("ps", "tree", "stacks", "why"):
            text = program.show(view)
            assert r"\x1b[31mred\x0a" in text
            assert all(each.isprintable() for each in text.replace("\n", ""))


def test_json_is_the_snapshot_itself(tmp_path):
    with inspected(tmp_path, TWO_LOCKS) as program:
        program.until_waiting(one="lock", two="lock")
        for view in ("ps", "tree", "stacks"):
            assert json.loads(program.show(view, "--json"))["pid"] == program.pid
        why = json.loads(program.show("why", "--json"))
        assert len(why["deadlocks"]) == 1
        assert why["chains"][0]["end"] == "deadlock"
