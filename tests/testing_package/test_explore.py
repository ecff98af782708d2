"""What an exploration finds, what it does not, and how it says so."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import uuid

import pytest

from ferrio import testing
from ferrio.testing import sim
from tests.testing_package.correct_programs import CORRECT
from tests.testing_package.faulty_programs import (
    FAULTY,
    lost_item,
    lost_update,
    order_of_ready_callbacks,
    short_sleep_before_a_longer_one,
)


@pytest.mark.parametrize(
    ("program", "classification", "within"), FAULTY, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_fault_is_found_and_classified(program, classification, within):
    report = testing.explore(program)
    assert report.failure is not None
    assert report.found_after <= within
    assert report.failure.classification == classification


@pytest.mark.parametrize("order", ["loop", "contract"])
@pytest.mark.parametrize("program", CORRECT, ids=lambda program: program.__name__)
def test_a_correct_program_is_not_reported(program, order):
    report = testing.explore(program, order=order, schedules=400)
    assert report.failure is None, str(report)


def test_ties_belong_to_the_contract_and_not_to_the_loop():
    assert testing.explore(lost_update, order="loop").failure is None
    assert testing.explore(lost_update, order="loop").exhausted


def test_without_stalls_none_is_found():
    assert testing.explore(lost_item, stall=0).failure is None


def test_a_sleep_stands_for_io_only_if_asked():
    assert testing.explore(short_sleep_before_a_longer_one).failure is None
    found = testing.explore(short_sleep_before_a_longer_one, sleeps="io").failure
    assert found is not None
    assert found.classification == "latency"


def test_ready_callbacks_are_permuted_only_if_asked():
    assert testing.explore(order_of_ready_callbacks).failure is None
    found = testing.explore(order_of_ready_callbacks, order="any").failure
    assert found is not None
    assert found.classification == "any"


def test_a_program_without_choices_has_one_schedule():
    async def main():
        async def work():
            for _ in range(10):
                await asyncio.sleep(0)

        await asyncio.gather(work(), work(), work())

    report = testing.explore(main)
    assert report.exhausted
    assert report.schedules == 1
    assert report.unseen == 0
    assert "all 1 schedules" in str(report)
    again = testing.explore(main, schedules=30, rerun=True)
    assert (again.schedules, again.distinct, again.exhausted) == (30, 1, True)


@pytest.mark.parametrize(("order", "orders"), [("loop", {"ab"}), ("contract", {"ab", "ba"})])
def test_a_delay_in_whole_seconds_has_the_schedules_of_the_same_float(order, orders):
    def explored(delay):
        seen = set()

        async def main():
            ended = []

            async def sleeper(name):
                await asyncio.sleep(delay)
                ended.append(name)

            first = asyncio.create_task(sleeper("a"))
            await asyncio.sleep(0)
            await asyncio.gather(first, sleeper("b"))
            seen.add("".join(ended))

        report = testing.explore(main, schedules=200, order=order)
        assert report.failure is None
        return report.schedules, report.exhausted, seen

    assert explored(1) == explored(1.0)
    assert explored(1)[2] == orders


def test_a_failure_of_each_run_is_classified_as_such():
    async def main():
        await asyncio.sleep(0.001)
        raise ValueError("always")

    failure = testing.explore(main).failure
    assert failure.classification == "always"
    assert isinstance(failure.exception, ValueError)


def test_a_token_replays_in_another_process_with_another_hash_seed():
    failure = testing.explore(lost_item).failure
    code = (
        "from ferrio import testing\n"
        "from tests.testing_package.faulty_programs import lost_item\n"
        f"print([type(testing.replay(lost_item, {failure.token!r}).failure.exception) for _ in range(3)])\n"
    )
    for hash_seed in ("1", "77"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        out = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert out.count("AssertionError") == 3


def test_a_token_of_another_program_says_which_choice_does_not_fit():
    token = testing.explore(lost_item).failure.token

    async def main():
        await asyncio.sleep(0.001)

    with pytest.raises(testing.Drift, match=r"choice \d+ takes alternative"):
        testing.replay(main, token)


def test_what_is_no_token_is_refused():
    for text in ("", "f2.", "f2.!!", "f2.AAAA", "f1.AAAA", "something"):
        with pytest.raises(ValueError, match="token"):
            testing.replay(lost_item, text)


def test_a_failure_tells_its_story():
    failure = testing.explore(lost_item).failure
    text = str(failure)
    assert "held up for 500 µs" in text
    assert "faulty_programs.py:" in text
    assert failure.token in text


def test_a_story_names_the_task_whose_job_lands():
    async def main():
        order = []

        async def work(name):
            await asyncio.to_thread(int)
            order.append(name)

        tasks = [asyncio.create_task(work(name), name=name) for name in ("first", "second")]
        await asyncio.wait(tasks)
        assert order == ["first", "second"]

    story = testing.explore(main).failure.story
    assert re.search(r"the result of a job of second \(.*work\) at test_explore.py:\d+ lands", story), story


def test_a_replay_says_that_the_program_does_something_else():
    async def main():
        await lost_item()

    async def mended():
        with contextlib.suppress(AssertionError):
            await lost_item()

    token = testing.explore(main).failure.token
    assert testing.replay(main, token).nondeterminism == []
    report = testing.replay(mended, token)
    assert report.failure is None
    assert "passes" in report.nondeterminism[0]


def test_a_failure_is_saved_as_a_trace(tmp_path):
    file = tmp_path / "trace.json"
    testing.explore(lost_item).failure.save_trace(file)
    events = json.loads(file.read_text())["traceEvents"]
    tracks = {event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name"}
    assert "choices" in tracks
    assert any("lost_item" in name for name in tracks)
    assert any("held up for" in event["name"] for event in events if event["ph"] == "i")
    for track in tracks.values():
        slices = sorted((event["ts"], event["dur"]) for event in events if event["ph"] == "X" and event["tid"] == track)
        for (began, took), (following, _) in itertools.pairwise(slices):
            assert began + took <= following + 1e-6


def test_a_deadlock_names_the_tasks_that_wait():
    async def main():
        async def wait_for_ever():
            await asyncio.Event().wait()

        await asyncio.create_task(wait_for_ever(), name="sleeper")

    failure = testing.explore(main).failure
    assert isinstance(failure.exception, testing.Deadlock)
    assert "sleeper" in str(failure.exception)
    assert "test_explore.py:" in str(failure.exception)


def test_a_foreign_thread_is_waited_for():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def work():
            release.wait()
            loop.call_soon_threadsafe(future.set_result, 1)

        release = threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        loop.call_soon(release.set)
        assert await future == 1
        thread.join()

    report = testing.explore(main, schedules=3)
    assert report.failure is None, str(report)
    assert report.nondeterminism


def test_an_exception_that_nothing_retrieves_is_a_failure():
    async def main():
        async def fail():
            raise KeyError("lost")

        task = asyncio.create_task(fail())
        await asyncio.sleep(0.001)
        del task

    failure = testing.explore(main).failure
    assert isinstance(failure.exception, testing.UnhandledError)
    assert isinstance(failure.exception.__cause__, KeyError)


def test_a_sweep_cancels_each_task_where_it_waits():
    async def main():
        taken = []

        async def work():
            taken.append(1)
            await asyncio.sleep(0.001)
            taken.pop()

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        assert not taken, "not given back"

    assert testing.explore(main).failure is None
    failure = testing.explore(main, cancel="sweep").failure
    assert failure.classification == "cancellation"
    assert isinstance(testing.replay(main, failure.token).failure.exception, AssertionError)


def test_a_sweep_cancels_the_chosen_tasks_only():
    async def main():
        cancelled = []

        async def work(name):
            try:
                await asyncio.sleep(0.001)
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                cancelled.append(name)
                raise

        names = ("worker", "other")
        await asyncio.wait([asyncio.create_task(work(name), name=name) for name in names])
        seen.update(cancelled)
        assert "other" not in cancelled

    seen = set()
    report = testing.explore(main, cancel=lambda task: task.get_name() == "worker")
    assert report.failure is None, str(report)
    assert seen == {"worker"}
    assert testing.explore(main, cancel="sweep").failure.classification == "cancellation"
    with pytest.raises(ZeroDivisionError):
        testing.explore(main, cancel=lambda _: bool(1 // 0))


def test_a_sweep_leaves_tasks_of_the_simulation_alone():
    """What stands for a child process, or for another host, is no task of the program's."""

    async def child(process):
        await asyncio.sleep(0.001)
        process.stdout.write(b"whole")
        await asyncio.sleep(0.001)
        return 0

    async def serve():
        while True:
            await asyncio.sleep(0.001)
            beats.append(1)

    async def main():
        beats.clear()
        sim.net.host("server").run(serve)
        sim.program("tool", child)
        process = await asyncio.create_subprocess_exec("tool", stdout=asyncio.subprocess.PIPE)
        assert await process.communicate() == (b"whole", None)
        await asyncio.sleep(0.01)
        assert len(beats) > 5

    beats = []
    report = testing.explore(main, schedules=1, cancel="sweep")
    assert report.failure is None, str(report)
    assert report.schedules > 4


def test_a_sweep_ends_when_the_time_is_used_up():
    runs = 0

    async def main():
        nonlocal runs
        runs += 1
        for _ in range(100):
            await asyncio.sleep(0)

    assert testing.explore(main, cancel="sweep", seconds=0).failure is None
    assert runs <= 2
    assert testing.explore(main, cancel="sweep").schedules > 100


def test_a_sweep_reports_a_fault_of_the_undisturbed_run():
    async def main():
        raise LookupError

    failure = testing.explore(main, cancel="sweep", seconds=0).failure
    assert isinstance(failure.exception, LookupError)
    assert failure.classification == "always"


def test_an_exploration_ends_when_little_is_unseen():
    async def main():
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(3)), asyncio.sleep(0.001), asyncio.sleep(0.002))

    enough = testing.explore(main, schedules=100_000, unseen=0.9)
    assert enough.schedules < 100_000
    assert 0 < enough.unseen <= 0.9
    assert not enough.exhausted
    for wrong in (-1, 2, float("nan")):
        with pytest.raises(ValueError, match="unseen"):
            testing.explore(main, unseen=wrong)


def test_interrupting_reports_what_is_known():
    runs = 0

    async def main():
        nonlocal runs
        runs += 1
        if runs == 3:
            raise KeyboardInterrupt
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(5)))

    report = testing.explore(main)
    assert report.interrupted
    assert not report.exhausted
    assert report.schedules == 2
    assert "none has failed" in str(report)


def test_interrupting_the_only_schedule_leaves_it_unseen():
    async def main():
        raise KeyboardInterrupt

    report = testing.explore(main)
    assert (report.schedules, report.exhausted, report.unseen) == (0, False, 1)


def test_a_run_has_virtual_time_and_exact_instants():
    async def main():
        loop = asyncio.get_running_loop()
        began, wall = loop.time(), time.time()
        await asyncio.sleep(3600)
        assert loop.time() - began == 3600
        assert time.time() - wall == 3600
        assert time.monotonic() - began == 3600
        return "done"

    before = time.monotonic()
    assert testing.run(main) == "done"
    assert testing.run(main()) == "done"
    assert time.monotonic() - before < 3600


def test_a_run_raises_what_the_program_raises():
    async def main():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        testing.run(main)


def test_randomness_is_the_same_in_each_run_and_put_back():
    async def main():
        return random.random(), uuid.uuid4(), os.urandom(4), random.gauss(0, 1)

    state = random.getstate()
    assert testing.run(main) == testing.run(main)
    assert random.getstate() == state
    assert time.time.__module__ == "time"
    assert os.urandom(8) != os.urandom(8)


def test_real_io_is_refused_by_name():
    async def main():
        await asyncio.create_subprocess_exec("true")

    with pytest.raises(testing.RealIOError, match="subprocess_exec"):
        testing.run(main)


def test_jobs_have_threads_of_their_own():
    async def main():
        loop_thread = threading.get_ident()
        assert await asyncio.to_thread(threading.get_ident) != loop_thread
        assert await asyncio.to_thread(lambda: asyncio.run(asyncio.sleep(0.001, "inner"))) == "inner"

    testing.run(main)


def test_a_simulation_cannot_begin_in_a_running_loop():
    async def main():
        with pytest.raises(RuntimeError, match="while a loop runs"):
            testing.run(lost_item)

    asyncio.run(main())


def test_sets_of_tasks_have_the_order_of_creation():
    async def main():
        tasks = {asyncio.create_task(asyncio.sleep(0.001), name=f"named-{number}") for number in range(5)}
        names = [task.get_name() for task in tasks]
        await asyncio.wait(tasks)
        return names

    assert len({tuple(testing.run(main)) for _ in range(5)}) == 1


def test_arguments_are_checked():
    for arguments in ({"order": "other"}, {"sleeps": "long"}, {"stall": -1}, {"cancel": "all"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            testing.explore(lost_item, **arguments)


@testing.simulate(schedules=50)
async def test_a_decorated_function_is_a_test():
    await asyncio.sleep(1)


def test_a_decorated_function_fails_with_its_token():
    @testing.simulate
    async def test():
        await lost_item()

    with pytest.raises(AssertionError) as caught:
        test()
    assert any("token: f2." in note for note in caught.value.__notes__)
