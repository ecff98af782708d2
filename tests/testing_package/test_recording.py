"""Recordings of production runs: what lands lands again in another process, and a program that leaves one is told."""

import asyncio
import concurrent.futures
import gc
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import ferrio
from ferrio import testing
from tests.support.certificates import client_context, server_context
from tests.testing_package import programs_outside, recorded_programs
from tests.testing_package.recording_runs import GENEROUS, record, recorded, run, run_script

ROOT = Path(__file__).resolve().parents[2]


def test_a_race_that_was_recorded_happens_again_twenty_times_of_twenty(tmp_path):
    file = tmp_path / "race"
    order = record(file, "race")
    for _ in range(19):
        report = testing.replay(recorded_programs.race, file)
        assert str(report.failure.exception) == order.strip()
        assert report.failure.classification == "recorded"
        assert report.failure.token == str(file)
    again = run_script("replay", file, "race", env=dict(os.environ, PYTHONHASHSEED="7"))
    assert again.stdout == order, again.stderr


def test_all_that_lands_lands_again(tmp_path):
    file = tmp_path / "everything"
    order = record(file, "everything")
    assert run_script("replay", file, "everything").stdout == order


def test_a_signal_arrives_again(tmp_path):
    file = tmp_path / "signals"
    assert record(file, "signals") == '["told"]\n'
    assert run_script("replay", file, "signals").stdout == '["told"]\n'


def test_a_program_that_has_changed_is_told_where_it_left(tmp_path):
    file = tmp_path / "race"
    record(file, "race")
    with pytest.raises(testing.Drift) as left:
        testing.replay(recorded_programs.changed_race, file)
    text = str(left.value)
    assert "the program has left the recording in turn " in text
    assert "expected: " in text
    assert "came: " in text
    assert "(changed_race) at recorded_programs.py:" in text


def test_a_nondeterministic_program_is_told_where_it_left(tmp_path):
    takes = [0]

    async def main():
        takes[0] += 1
        await asyncio.sleep(0)
        if takes[0] == 2:
            asyncio.get_running_loop().time()
        await asyncio.sleep(0)

    file = tmp_path / "moody"
    recorded(file, main)
    with pytest.raises(
        testing.Drift,
        match=r"(?s)expected: a step has run in Task-\d+ \(.*main\) at test_recording.*came: reads the clock",
    ):
        testing.replay(main, file)


def test_without_bytes_connections_cannot_be_replayed(tmp_path):
    async def main():
        server = await asyncio.start_server(recorded_programs.echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(b"secret\n")
        await reader.readline()
        writer.close()
        server.close()

    file = tmp_path / "without"
    recorded(file, main)
    assert b"secret" not in file.read_bytes()
    with pytest.raises(testing.Drift, match=r"made without bytes: record\(\.\.\., bytes=True\) keeps them"):
        testing.replay(main, file)


def test_without_bytes_jobs_and_timers_are_replayed(tmp_path):
    def make():
        order = []

        async def work(number):
            order.append(await asyncio.to_thread(pow, number, 2))

        async def tick():
            for _ in range(5):
                await asyncio.sleep(0.0005)
                order.append("tick")

        async def main():
            await asyncio.gather(tick(), *(work(number) for number in range(10)))
            raise recorded_programs.OrderError(str(order))

        return main

    file = tmp_path / "jobs"
    with testing.record(file), pytest.raises(recorded_programs.OrderError) as first:
        run(make())
    for _ in range(5):
        assert str(testing.replay(make(), file).failure.exception) == str(first.value)


def test_the_clock_shows_what_it_showed(tmp_path):
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(0.01)
        seen.append((began, loop.time()))

    file = tmp_path / "clock"
    recorded(file, main)
    assert testing.replay(main, file).failure is None
    assert seen[0] == seen[1]


def test_random_numbers_are_those_of_the_recorded_run(tmp_path):
    seen = []

    async def main():
        seen.append(random.random())

    file = tmp_path / "random"
    recorded(file, main)
    before = random.getstate()
    testing.replay(main, file)
    assert seen[0] == seen[1]
    assert random.getstate() == before


def test_sets_of_tasks_have_the_recorded_order(tmp_path):
    seen = []

    async def main():
        tasks = {asyncio.create_task(asyncio.sleep(0), name=f"n{number}") for number in range(20)}
        seen.append([task.get_name() for task in tasks])
        await asyncio.wait(tasks)

    file = tmp_path / "sets"
    recorded(file, main)
    testing.replay(main, file)
    assert seen[0] == seen[1]


def test_jobs_of_other_executors_land_where_they_did(tmp_path):
    def make():
        order = []

        async def main():
            loop = asyncio.get_running_loop()
            with concurrent.futures.ThreadPoolExecutor(3) as pool:

                async def work(number):
                    order.append(await loop.run_in_executor(pool, pow, number, 2))

                await asyncio.gather(*(work(number) for number in range(12)))
            raise recorded_programs.OrderError(str(order))

        return main

    file = tmp_path / "executor"
    with testing.record(file), pytest.raises(recorded_programs.OrderError) as first:
        run(make())
    for _ in range(5):
        assert str(testing.replay(make(), file).failure.exception) == str(first.value)


def test_addresses_are_those_of_the_recorded_run(tmp_path):
    seen = []

    async def main():
        async def serve(reader, writer):
            told.append(writer.get_extra_info("peername"))
            writer.close()

        told = []
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        told += [address, writer.get_extra_info("sockname"), writer.get_extra_info("peername")]
        await reader.read()
        writer.close()
        server.close()
        seen.append(told)

    file = tmp_path / "addresses"
    recorded(file, main, bytes=True)
    assert testing.replay(main, file).failure is None
    assert seen[0] == seen[1]
    assert len(seen[0]) == 4


def test_debug_mode_changes_nothing(tmp_path):
    async def main():
        asyncio.get_running_loop().set_debug(False)
        await asyncio.sleep(0)
        await asyncio.to_thread(int)

    file = tmp_path / "debug"
    with testing.record(file), asyncio.Runner(loop_factory=ferrio.EventLoop, debug=True) as runner:
        runner.run(main())
    assert testing.replay(main, file).failure is None


def test_a_loop_with_a_clock_of_its_own_keeps_it(tmp_path):
    class Slow(ferrio.EventLoop):
        def time(self):
            return super().time() / 2

    async def main():
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - began

    with testing.record(tmp_path / "slow"), asyncio.Runner(loop_factory=Slow) as runner:
        assert runner.run(main()) >= 0.01


def test_a_recording_begins_before_the_loop_runs(tmp_path):
    async def main():
        with pytest.raises(RuntimeError, match="before the loop runs"), testing.record(tmp_path / "late"):
            pass

    run(main)


def test_one_loop_is_recorded_and_the_next_is_not(tmp_path):
    async def first():
        await asyncio.sleep(0)

    async def second():
        for _ in range(5000):
            await asyncio.sleep(0)

    file = tmp_path / "two"
    with testing.record(file):
        run(first)
        size = file.stat().st_size
        run(second)
    assert file.stat().st_size < size + 100
    assert testing.replay(first, file).failure is None


def test_an_exception_of_the_program_leaves_a_whole_recording(tmp_path):
    async def main():
        await asyncio.sleep(0)
        raise SystemExit(3)

    file = tmp_path / "exit"
    with pytest.raises(SystemExit), testing.record(file):
        run(main)
    assert isinstance(testing.replay(main, file).failure.exception, SystemExit)


def test_a_replay_that_ends_early_closes_what_is_open(tmp_path):
    """No transport is left to the garbage collector, which would warn of it."""

    async def main():
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(programs_outside.echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        secure = await asyncio.start_server(programs_outside.echo, "127.0.0.1", 0, ssl=server_context())
        secure_port = secure.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        trusted = {"ssl": client_context(), "server_hostname": "localhost"}
        _, secret = await asyncio.open_connection("127.0.0.1", secure_port, **trusted)
        datagrams, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec("sleep", "1000", **pipes)
        writer.write(b"question\n")
        writer.transport.pause_reading()
        await asyncio.sleep(0)
        if is_changed:
            await asyncio.sleep(0)
        process.kill()
        await process.wait()
        for each in (writer, secret, server, secure, datagrams, process.stdin):
            each.close()
        await asyncio.gather(writer.wait_closed(), secret.wait_closed())
        await programs_outside.gone()

    file = tmp_path / "file"
    is_changed = False
    recorded(file, main, bytes=True)
    assert testing.replay(main, file).failure is None
    is_changed = True
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(testing.Drift):
            testing.replay(main, file)
        content = file.read_bytes()
        file.write_bytes(content[: len(content) * 9 // 10])
        is_changed = False
        assert isinstance(testing.replay(main, file).failure.exception, testing.EndOfRecording)
        gc.collect()
    assert [str(each.message) for each in warned] == []


def test_the_command_line_records(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "async def main():\n"
        "    await asyncio.to_thread(int)\n"
        "    return 5\n"
        "if __name__ == '__main__':\n"
        "    print(asyncio.run(main()))\n"
    )
    file = tmp_path / "recording"
    command = [sys.executable, "-m", "ferrio", "--record", str(file), "--record-bytes", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS, check=False)
    assert result.stdout == "5\n", result.stderr
    namespace = {"__name__": "script"}
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    assert testing.replay(namespace["main"], file).failure is None
    script.write_text(script.read_text().replace("to_thread(int)", "sleep(0)"))
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    with pytest.raises(testing.Drift, match=r"script\.py has changed since the recording"):
        testing.replay(namespace["main"], file)


def test_pytest_replays_a_recording(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "from ferrio import testing\n"
        "from tests.testing_package import recorded_programs\n"
        "@testing.simulate\n"
        "async def test_it():\n"
        "    await recorded_programs.race()\n"
    )
    file = tmp_path / "race"
    order = record(file, "race").strip()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--ferrio-replay={file}", str(test)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS, check=False)
    assert "1 failed" in result.stdout
    assert order.split(",")[0] in result.stdout


def test_the_example_is_recorded_and_replayed(tmp_path):
    file = tmp_path / "orders.rec"
    command = [sys.executable, "-m", "ferrio", "--record", str(file), "--record-bytes", "examples/recording/orders.py"]
    day = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS, check=False)
    command = [sys.executable, "-m", "examples.recording.desk", str(file)]
    desk = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS, check=False)
    went_well = day.returncode == 0
    assert ("the day went well" in desk.stdout) is went_well, desk.stdout + desk.stderr
    if not went_well:
        assert day.stderr.splitlines()[-1].partition(": ")[2] in desk.stdout
