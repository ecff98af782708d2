"""The timers of a snapshot: when each is due, what it calls, and whose sleep or timeout it ends."""

import asyncio
import functools
import json
import math
import re

import pytest

import ferrio
import ferrio.inspect
from ferrio import _ferrio
from ferrio._install import _STOCK
from ferrio.inspect import _timers
from tests.support.inspected import LOOP, STOCK, WHOLE, inspected
from tests.support.snapshots import seen

pytestmark = pytest.mark.timeout(120)

LOOPS = pytest.mark.parametrize("factory", [ferrio.new_event_loop, asyncio.SelectorEventLoop])
KINDS = pytest.mark.parametrize(
    "kind",
    [lambda name: getattr(_ferrio, name), lambda name: _STOCK[name]],
    ids=["ferrio", "stock"],
)


@pytest.fixture
def new_loop():
    made = []

    def new(factory):
        made.append(factory())
        return made[-1]

    yield new
    for loop in made:
        loop.close()


def of(snapshot, loop):
    return [each for each in snapshot["timers"] if each["loop"] == hex(id(loop))]


def call(*_):
    pass


@LOOPS
@KINDS
def test_a_sleep_is_the_timer_of_its_task(new_loop, factory, kind):
    loop = new_loop(factory)
    snapshot, tasks = seen(loop, lambda: kind("sleep")(1000))
    (timer,) = of(snapshot, loop)
    assert (timer["kind"], timer["task"], timer["function"]) == ("sleep", tasks["main"]["id"], None)
    assert 0 < timer["due"] <= 1000


@LOOPS
@KINDS
@pytest.mark.parametrize("how", ["timeout", "wait_for"])
def test_a_timeout_is_the_timer_of_the_task_inside(new_loop, factory, kind, how):
    loop = new_loop(factory)

    async def main():
        event = kind("Event")()
        if how == "wait_for":
            await kind("wait_for")(event.wait(), 1000)
        async with kind("timeout")(1000):
            await event.wait()

    snapshot, tasks = seen(loop, main)
    (timer,) = of(snapshot, loop)
    assert (timer["kind"], timer["task"]) == ("timeout", tasks["main"]["id"])
    assert 0 < timer["due"] <= 1000


@LOOPS
def test_a_callback_is_named_with_its_place(new_loop, factory):
    loop = new_loop(factory)
    timers = [
        loop.call_later(1000, call),
        loop.call_later(2000, functools.partial(call, 1)),
        loop.call_at(loop.time() - 5, call),
        loop.call_at(math.inf, call),
        loop.call_later(1500, call),
    ]
    timers.pop().cancel()
    # The loop does not run, so the late one is still there.
    task = loop.create_task(asyncio.sleep(0))
    found = of(ferrio.inspect.snapshot(), loop)
    assert [each["kind"] for each in found] == ["callback"] * 4
    assert {(each["function"], each["file"]) for each in found} == {("call", __file__)}
    assert {each["line"] for each in found} == {call.__code__.co_firstlineno}
    late, soon, later, never = [each["due"] for each in found]
    assert late < 0 < soon <= 1000 < later <= 2000
    assert never is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for timer in timers:
        timer.cancel()
    loop.run_until_complete(task)


@LOOPS
def test_the_soonest_of_many_are_listed(new_loop, factory, monkeypatch):
    monkeypatch.setattr(_timers, "MOST_LISTED", 10)
    loop = new_loop(factory)
    timers = [loop.call_later(1000 + number * 37 % 100, call) for number in range(100)]
    loop.call_later(900, call).cancel()
    task = loop.create_task(asyncio.sleep(0))
    snapshot = ferrio.inspect.snapshot()
    found = of(snapshot, loop)
    due = [each["due"] for each in found]
    assert len(found) == 10
    assert due == sorted(due)
    assert due[-1] < 1010
    assert snapshot["left_off"]["timers"] == 90
    assert [each["timers"] for each in snapshot["loops"] if each["id"] == hex(id(loop))] == [100]
    for timer in timers:
        timer.cancel()
    loop.run_until_complete(task)


def test_what_the_program_keeps_in_a_variable_is_not_its_sleep(new_loop):
    loop = new_loop(ferrio.new_event_loop)

    async def main():
        timer = loop.call_later(1000, call)
        try:
            await asyncio.Event().wait()
        finally:
            timer.cancel()

    snapshot, _ = seen(loop, main)
    (timer,) = of(snapshot, loop)
    assert (timer["kind"], timer["task"]) == ("callback", None)


def test_no_clock_of_the_programs_is_asked(new_loop):
    class Own(asyncio.SelectorEventLoop):
        def time(self):
            asked.append(1)
            return super().time()

    asked: list[int] = []
    loop = new_loop(Own)

    async def main():
        async with asyncio.timeout(1000):
            await asyncio.sleep(1000)

    async def outer():
        task = loop.create_task(main(), name="main")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.clear()
        snapshot = ferrio.inspect.snapshot()
        count = len(asked)
        task.cancel()
        await asyncio.wait([task])
        return snapshot, count

    snapshot, count = loop.run_until_complete(outer())
    assert count == 0
    assert of(snapshot, loop) == []
    (task,) = [each for each in snapshot["tasks"] if each["name"] == "main"]
    assert task["waits_for"]["until"] is task["timeout"] is None
    assert task["has_timeout"]


CODE = """
    async def limited():
        async with asyncio.timeout(2000):
            await asyncio.Event().wait()

    def refresh():
        pass

    async def main():
        asyncio.get_running_loop().call_later(3000, refresh)
        print("ready")
        await asyncio.gather(asyncio.create_task(limited(), name="limited"), asyncio.create_task(nap(), name="naps"))

    async def nap():
        await asyncio.sleep(1000)
"""


@pytest.mark.parametrize("how", [WHOLE, LOOP, STOCK], ids=["whole", "loop", "stock"])
def test_the_view_shows_them_from_outside(tmp_path, how):
    with inspected(tmp_path, CODE, run=how) as program:
        program.until_waiting(naps="sleep", limited="event")
        heading, *rows = program.show("timers").splitlines()
        snapshot = json.loads(program.show("timers", "--json"))
        listed = program.show("ps")
    assert heading.split() == ["timer", "due", "in", "for", "task", "calls", "thread", "of", "its", "loop"]
    assert re.fullmatch(r"0x\w+ +\d+\.\d s +sleep +naps +- +MainThread", rows[0])
    assert re.fullmatch(r"0x\w+ +\d+\.\d s +timeout +limited +- +MainThread", rows[1])
    assert re.fullmatch(r"0x\w+ +\d+\.\d s +callback +- +refresh \(\S*program.py:\d+\) +MainThread", rows[2])
    assert len(rows) == 3
    assert [each["kind"] for each in snapshot["timers"]] == ["sleep", "timeout", "callback"]
    assert "3 timers" in listed
