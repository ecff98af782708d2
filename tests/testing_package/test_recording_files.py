"""Files of recordings: private, bounded, whole or cut off, and never trusted."""

import asyncio
import functools
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading

import pytest

import ferrio
from ferrio import testing
from tests.testing_package import recorded_programs
from tests.testing_package.recording_runs import GENEROUS, PROGRAMS, record, recorded, run


def test_ctrl_c_without_a_runner_ends_the_recording(tmp_path):
    async def main():
        asyncio.get_running_loop().call_later(0.001, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    async def again():
        asyncio.get_running_loop().call_later(0.001, int)
        await asyncio.Event().wait()

    file = tmp_path / "interrupted"
    loop = ferrio.EventLoop()
    try:
        with testing.record(file), pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(main())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    report = testing.replay(again, file)
    assert isinstance(report.failure.exception, testing.EndOfRecording)
    assert "as by Ctrl-C" in str(report.failure.exception)


def test_a_recording_of_no_loop_says_so(tmp_path, caplog):
    with testing.record(tmp_path / "nothing"):
        pass
    assert [each for each in caplog.records if "nothing was recorded" in each.getMessage()]


def test_each_thread_has_a_recording_of_its_own(tmp_path):
    async def main(jobs):
        for _ in range(jobs):
            await asyncio.to_thread(int)

    begun = threading.Barrier(3)

    def thread(jobs):
        with testing.record(tmp_path / str(jobs)):
            begun.wait(GENEROUS)
            run(functools.partial(main, jobs))

    threads = [threading.Thread(target=thread, args=(jobs,)) for jobs in (1, 2)]
    for each in threads:
        each.start()
    begun.wait(GENEROUS)
    for each in threads:
        each.join(GENEROUS)
    for jobs in (1, 2):
        report = testing.replay(functools.partial(main, jobs), tmp_path / str(jobs))
        assert report.failure is None, report.failure


def test_a_second_recording_of_the_next_loop_is_refused_and_the_first_goes_on(tmp_path):
    async def main():
        await asyncio.to_thread(int)

    with testing.record(tmp_path / "first"):
        (tmp_path / "second").write_text("another's")
        for file in ("first", "second"):
            with pytest.raises(RuntimeError, match="waits for its next loop already"), testing.record(tmp_path / file):
                pass
        run(main)
        with testing.record(tmp_path / "third"):
            run(main)
    assert (tmp_path / "second").read_text() == "another's"
    for file in ("first", "third"):
        assert testing.replay(main, tmp_path / file).failure is None


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
        found.add("test_recording_files.py:" in str(report.failure.exception))
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
