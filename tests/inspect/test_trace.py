"""The trace: what the flight recorder keeps, as events that Perfetto's UI and chrome://tracing open."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

import ferrio
import ferrio.inspect
from ferrio.inspect import _flight

Event = dict[str, Any]


@pytest.fixture
def recording(tmp_path) -> Any:
    """Inspection is on."""
    yield ferrio.inspect.start(tmp_path / "socket", blocked=None)
    ferrio.inspect.stop()


def run(main: Any) -> Any:
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        return runner.run(main())


def check(events: list[Event]) -> None:
    """What the loaders of traces rely on."""
    slices: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    tracks, ends = set(), defaultdict(list)
    for event in events:
        assert event["ph"] in {"X", "i", "M", "C", "s", "f"}
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        if event["ph"] == "M":
            tracks.add((event["pid"], event["tid"]))
            assert event["name"] in {"thread_name", "process_name"}
            continue
        assert event["ts"] >= 0
        if event["ph"] == "X":
            began = round(event["ts"] * 1000)
            slices[event["pid"], event["tid"]].append((began, began + round(event["dur"] * 1000)))
        elif event["ph"] in "sf":
            ends[event["id"]].append(event)
    assert set(slices) <= tracks
    for each in slices.values():
        nested(each)
    for begin, end in ends.values():
        assert (begin["ph"], end["ph"]) == ("s", "f")
        assert begin["ts"] <= end["ts"]
        for event in (begin, end):
            at = round(event["ts"] * 1000)
            assert any(began <= at <= ended for began, ended in slices[event["pid"], event["tid"]])


def nested(slices: list[tuple[int, int]]) -> None:
    """Fails if two of them overlap and neither is in the other. Instants are floats of microseconds: off by 16 ns."""
    around: list[tuple[int, int]] = []
    for began, ended in sorted(slices, key=lambda each: (each[0], -each[1])):
        while around and around[-1][1] <= began + 32:
            around.pop()
        assert not around or ended <= around[-1][1] + 32
        around.append((began, ended))


def kinds() -> set[int]:
    found = _flight.read()
    records = [record for flight in found.loops for record in _flight.decoded(flight.records)]
    return {record.kind for record in records} | {record.kind for record in _flight.decoded(found.jobs)}


def named(events: Iterable[Event], name: str, kind: str = "X") -> list[Event]:
    return [event for event in events if event["ph"] == kind and event["name"] == name]


async def worker(lock: asyncio.Lock) -> None:
    async with lock:
        await asyncio.sleep(0)
        await asyncio.to_thread(time.sleep, 0.002)
    await asyncio.sleep(0.001)


async def program() -> None:
    lock = asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(worker(lock), name=f"worker {number}")
    asyncio.get_running_loop().call_soon(len, "")
    await asyncio.sleep(0.001)


def test_each_kind_of_record_is_there(recording):
    run(program)
    assert kinds() == {*range(1, 9)} - {_flight.WAKE}


def test_the_records_of_a_loop_are_in_their_order_and_none_is_missing(recording):
    async def steps() -> None:
        for _ in range(300):
            await asyncio.sleep(0)

    async def main() -> None:
        tasks = [asyncio.create_task(steps(), name=f"{number}") for number in range(3)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(steps(), name=f"{number}") for number in range(3, 5)]
        await asyncio.gather(*tasks)

    run(main)
    found = _flight.read()
    (flight,) = found.loops
    records = list(_flight.decoded(flight.records))
    ends = [each.at + each.took for each in records]
    assert ends == sorted(ends)
    steps_of: dict[str, list[_flight.Record]] = defaultdict(list)
    for each in records:
        if each.kind == _flight.STEP:
            steps_of[found.tasks.get(each.subject, "")].append(each)
    for number in range(5):
        own = steps_of[f"{number}"]
        assert len(own) == 301
        for before, after in itertools.pairwise(own):
            # It has woken itself, at the end of the step before.
            assert (after.by, after.ready_at) == (after.subject, before.at + before.took)
            assert after.ready_at <= after.at


def test_a_task_that_is_ready_was_woken_by_who_made_it_ready(recording):
    async def child() -> None:
        pass

    async def main() -> list[Event]:
        task = asyncio.create_task(child(), name="child")
        events: list[Event] = ferrio.inspect.trace()["traceEvents"]
        assert _flight.WAKE in kinds()
        await task
        return events

    async def program() -> list[Event]:
        return await asyncio.create_task(main(), name="parent")

    (woken,) = named(run(program), "child is woken", "i")
    assert woken["args"] == {"by": "parent"}


def test_a_snapshot_takes_nothing_from_the_trace(recording):
    async def child() -> None:
        pass

    async def main() -> list[Event]:
        task = asyncio.create_task(child(), name="child")
        ferrio.inspect.snapshot()
        events: list[Event] = ferrio.inspect.trace()["traceEvents"]
        await task
        return events

    assert len(named(run(main), "child is woken", "i")) == 1


def test_a_trace_is_what_viewers_accept(recording, tmp_path):
    run(program)
    made = ferrio.inspect.trace(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text()) == made
    events = made["traceEvents"]
    check(events)
    # Two of the workers' names are those of tracks; what they did is on these, under their coroutines' name.
    tracks = {event["args"]["name"]: event["tid"] for event in named(events, "thread_name", "M")}
    assert {f"worker {number}" for number in range(4)} < set(tracks)
    own = [event for event in events if event.get("tid") == tracks["worker 1"]]
    assert {"worker", "ready", "waits for Lock.acquire", "waits for to_thread", "waits for sleep"} <= {
        event["name"] for event in own
    }
    assert [event["args"] for event in named(own, "worker")][-1] == {"then": "ends"}
    assert named(events, "poll")
    assert len([event for event in events if event.get("cat") == "job"]) == 4
    assert any(event["ph"] == "C" for event in events)


def test_an_arrow_leads_from_who_woke_a_task_to_its_step(recording):
    async def waits(event):
        await event.wait()

    async def wakes(event):
        event.set()

    async def main():
        event = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(waits(event), name="woken")
            group.create_task(wakes(event), name="waker")

    run(main)
    events = ferrio.inspect.trace()["traceEvents"]
    check(events)
    waker = next(event for event in named(events, "waker"))
    woken = named(events, "woken")[-1]
    arrow = next(event["id"] for event in events if event["ph"] == "s" and event["ts"] == waker["ts"])
    assert any(event["ph"] == "f" and event["id"] == arrow and event["ts"] == woken["ts"] for event in events)


def test_a_step_that_lasts_is_in_the_trace(recording):
    async def main():
        return ferrio.inspect.trace()["traceEvents"]

    events = run(main)
    check(events)
    assert any(event["args"] == {"lasts": True} for event in named(events, "Task-1") or events if event["ph"] == "X")


def test_the_ring_is_bounded_and_says_what_is_lost(tmp_path):
    ferrio.inspect.start(tmp_path / "socket", blocked=None, recorder=64)
    try:

        async def main():
            for _ in range(200):
                await asyncio.sleep(0)

        run(main)
        (flight,) = _flight.read().loops
        assert len(list(_flight.decoded(flight.records))) == 64
        assert flight.lost > 100
        events = ferrio.inspect.trace()["traceEvents"]
        check(events)
        assert named(events, "older records are lost", "i")
    finally:
        ferrio.inspect.stop()


def test_without_inspection_there_is_nothing_to_trace():
    run(program)
    assert {event["ph"] for event in ferrio.inspect.trace()["traceEvents"]} == {"M"}


def test_loops_that_are_closed_stay_in_the_trace_up_to_a_number(recording):
    for _ in range(20):
        run(program)
    assert 1 < len(_flight.read().loops) <= 16


def test_tasks_come_and_go_while_a_client_traces(tmp_path):
    path = ferrio.inspect.start(tmp_path / "socket", blocked=None, recorder=1024)
    ended = threading.Event()

    async def main():
        while not ended.is_set():
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(50)))

    running = threading.Thread(target=run, args=(main,), daemon=True)
    running.start()
    try:
        for _ in range(3):
            command = [sys.executable, "-m", "ferrio", "trace", path, "--json", "-d", "0.05"]
            shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            check(json.loads(shown.stdout)["traceEvents"])
    finally:
        ended.set()
        running.join()
        ferrio.inspect.stop()


def test_the_command_writes_a_file(recording, tmp_path):
    run(program)
    file = tmp_path / "trace.json"
    command = [sys.executable, "-m", "ferrio", "trace", recording, "-o", str(file)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "https://ui.perfetto.dev" in shown.stdout
    check(json.loads(file.read_text())["traceEvents"])
    refused = subprocess.run(
        [*command[:-1], "/nowhere/at/all"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


PROGRAM = """
import asyncio
async def main():
    await asyncio.sleep(0.001)
asyncio.run(main())
"""


def test_a_whole_program_is_traced(tmp_path):
    file = tmp_path / "trace.json"
    command = [sys.executable, "-m", "ferrio", "--trace", str(file), "-c", PROGRAM]
    subprocess.run(command, timeout=60, check=True)
    events = json.loads(file.read_text())["traceEvents"]
    check(events)
    assert named(events, "Task-1") or named(events, "main")
    refused = subprocess.run(
        [sys.executable, "-m", "ferrio", "--trace", "/nowhere/at/all", "-c", PROGRAM],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_recorder_of_a_forked_child_starts_empty(tmp_path):
    code = """
import asyncio, os, sys, ferrio, ferrio.inspect
from ferrio.inspect import _flight
ferrio.inspect.start(sys.argv[1], blocked=None)
async def main():
    await asyncio.sleep(0)
def run():
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
run()
assert len(_flight.read().loops) == 1
child = os.fork()
if child == 0:
    status = 0 if not _flight.read().loops else 3
    run()
    os._exit(status or (0 if len(_flight.read().loops) == 1 else 4))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(_flight.read().loops) == 1
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], timeout=60, check=True)


def dumped(directory: Any, why: str) -> list[Event]:
    deadline = time.monotonic() + 30
    while not (found := sorted(directory.glob(f"*-{why}.json"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    events: list[Event] = json.loads(found[0].read_text())["traceEvents"]
    check(events)
    return events


def test_an_unhandled_exception_dumps_the_trace(recording, tmp_path):
    ferrio.inspect.dump_traces(tmp_path)

    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.001)

    run(main)
    assert dumped(tmp_path, "exception")


def test_a_block_dumps_the_trace(tmp_path):
    ferrio.inspect.start(tmp_path / "socket", blocked=0.05)
    try:
        ferrio.inspect.dump_traces(tmp_path, blocked=0.05)

        async def main():
            time.sleep(0.3)
            await asyncio.sleep(0.001)

        run(main)
        assert dumped(tmp_path, "block")
        assert len([*tmp_path.glob("*-block.json")]) == 1
    finally:
        ferrio.inspect.stop()


def test_sigquit_dumps_the_trace_when_asked_for(recording, tmp_path):
    before = signal.getsignal(signal.SIGQUIT)
    ferrio.inspect.dump_traces(tmp_path, quit_signal=True)
    signal.raise_signal(signal.SIGQUIT)
    assert dumped(tmp_path, "signal")
    ferrio.inspect.stop()
    assert signal.getsignal(signal.SIGQUIT) == before


def test_no_more_than_a_number_of_traces_is_written(recording, tmp_path):
    ferrio.inspect.dump_traces(tmp_path, quit_signal=True)
    for _ in range(25):
        signal.raise_signal(signal.SIGQUIT)
    assert len(list(tmp_path.glob("ferrio-*.json"))) == 20
