"""Recordings of production runs: written by any program, repeated in another process, told where they do not fit."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ferrio
from ferrio import testing
from tests.testing_package import recorded_programs

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(recorded_programs.__file__)
GENEROUS = 120.0


def run_script(*arguments, **keywords):
    command = [sys.executable, str(PROGRAMS), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS, check=False, **keywords)


def record(file, name):
    result = run_script("record", file, name)
    assert result.returncode == 0, result.stderr
    return result.stdout


def run(main):
    with asyncio.Runner(loop_factory=ferrio.EventLoop) as runner:
        return runner.run(main())


def recorded(file, main, **keywords):
    """Records a run in this process; gives what it ended with."""
    with testing.record(file, **keywords), contextlib.suppress(Exception):
        return run(main)


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
    import random

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


def test_the_file_is_private_and_overwritten(tmp_path):
    file = tmp_path / "private"
    file.write_text("x" * 100_000)
    file.chmod(0o644)
    recorded(file, lambda: asyncio.sleep(0))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size < 100_000


def test_a_limit_ends_the_recording_and_not_the_program(tmp_path):
    async def main():
        for _ in range(1000):
            await asyncio.sleep(0)
        return "done"

    file = tmp_path / "limited"
    assert recorded(file, main, limit=500) == "done"
    report = testing.replay(main, file)
    assert isinstance(report.failure.exception, testing.EndOfRecording)
    assert "because it has reached its limit" in str(report.failure.exception)


def test_a_recording_that_is_cut_off_says_what_waits_where(tmp_path):
    async def main():
        await asyncio.to_thread(int)
        await asyncio.sleep(0.001)

    file = tmp_path / "cut"
    recorded(file, main)
    whole = file.read_bytes()
    start = len(b"\n".join(whole.split(b"\n", 2)[:2])) + 1
    found = set()
    for end in range(start, len(whole) - 1):
        file.write_bytes(whole[:end])
        report = testing.replay(main, file)
        if report.failure is None:
            continue  # What is missing is after the end of the program.
        assert isinstance(report.failure.exception, testing.EndOfRecording), report.failure.exception
        found.add("test_recording.py:" in str(report.failure.exception))
    assert True in found


@pytest.mark.parametrize(
    "content", [b"", b"f2.abc", b"ferrio recording 1\n", b"ferrio recording 2\n{}\n", b"\xff" * 50]
)
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a recording|is damaged"):
        testing.replay(recorded_programs.race, file)


def test_hostile_recordings_end_in_an_error_of_ours(tmp_path):
    """Whatever the bytes are: Drift, the recording's end, or ValueError; never another error, a crash or a hang."""
    import random

    file = tmp_path / "hostile"
    record(file, "race")
    whole = file.read_bytes()
    start = len(b"\n".join(whole.split(b"\n", 2)[:2])) + 1
    numbers = random.Random(1)
    for _ in range(60):
        changed = bytearray(whole)
        for _ in range(numbers.choice((1, 1, 2, 8))):
            changed[numbers.randrange(start, len(whole))] = numbers.randrange(256)
        file.write_bytes(changed)
        try:
            report = testing.replay(recorded_programs.race, file)
        except (testing.Drift, ValueError):
            continue
        assert isinstance(report.failure.exception, testing.EndOfRecording | recorded_programs.OrderError | OSError)


def test_a_header_that_somebody_has_changed_is_refused(tmp_path):
    file = tmp_path / "header"
    recorded(file, lambda: asyncio.sleep(0))
    magic, about, entries = file.read_bytes().split(b"\n", 2)
    known = json.loads(about)
    for name, value in [
        ("random", None),
        ("random", [3, [1], None]),
        ("random", [3, ["x"] * 625, None]),
        ("first_task", -1),
        ("first_task", 1 << 80),
        ("epoch", "nan"),
        ("epoch", []),
    ]:
        file.write_bytes(b"\n".join([magic, json.dumps(known | {name: value}).encode(), entries]))
        with pytest.raises(ValueError, match="is damaged"):
            testing.replay(lambda: asyncio.sleep(0), file)


def test_a_process_that_is_killed_leaves_what_it_had_done(tmp_path):
    file = tmp_path / "killed"
    command = [sys.executable, str(PROGRAMS), "record", str(file), "waits_for_ever"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"waiting\n"
        # The poll that follows the line writes what is kept; there is no telling when it has.
        size = 0
        while (now := file.stat().st_size) == size or now < 7000:
            size = now
        process.kill()
    report = testing.replay(recorded_programs.waits_for_ever, file)
    text = str(report.failure.exception)
    assert isinstance(report.failure.exception, testing.EndOfRecording), text


def test_an_interrupted_process_has_a_whole_recording(tmp_path):
    file = tmp_path / "interrupted"
    command = [sys.executable, str(PROGRAMS), "record", str(file), "waits_for_ever"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=GENEROUS)
    assert b"KeyboardInterrupt" in errors
    report = testing.replay(recorded_programs.waits_for_ever, file)
    assert report.failure is None, report.failure


def test_a_child_made_by_fork_writes_nothing(tmp_path):
    file = tmp_path / "forked"
    program = f"""
import asyncio, os, sys
import ferrio
from ferrio import testing

async def main():
    await asyncio.sleep(0.001)
    child = os.fork()
    if not child:
        asyncio.events._set_running_loop(None)
        for _ in range(3):
            ferrio.run(asyncio.sleep(0))
        sys.exit(0)
    os.waitpid(child, 0)
    await asyncio.sleep(0.001)

ferrio.install()
with testing.record({str(file)!r}):
    asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=GENEROUS, check=False)
    assert result.returncode == 0

    async def main():
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)

    assert testing.replay(main, file).failure is None


def test_a_full_disk_is_told_once_and_the_program_goes_on(tmp_path, caplog):
    async def main():
        for _ in range(3000):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        return "done"

    file = tmp_path / "full"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with testing.record(file):
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, before[1]))
            assert run(main) == "done"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    told = [each for each in caplog.records if "cannot be written: " in each.getMessage()]
    assert len(told) == 1
    report = testing.replay(main, file)
    assert isinstance(report.failure.exception, testing.EndOfRecording)


def test_a_file_that_cannot_be_made_is_an_error_at_once(tmp_path):
    with pytest.raises(FileNotFoundError), testing.record(tmp_path / "none" / "file"):
        pass


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


@pytest.mark.parametrize("what", ["a child process", "TLS"])
def test_what_cannot_be_repeated_is_named(tmp_path, what):
    import ssl

    async def child():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await process.wait()

    async def tls():
        server = await asyncio.start_server(recorded_programs.echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context(), server_hostname="x")
        server.close()

    main = child if what == "a child process" else tls
    file = tmp_path / "file"
    recorded(file, main, bytes=True)
    with pytest.raises(testing.Drift, match=f"a recording does not have what is needed for {what}"):
        testing.replay(main, file)


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
