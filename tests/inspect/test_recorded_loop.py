"""`ferrio.inspect.start(record=…)`: a recording of a run, for `ferrio.testing.replay`, asked for with inspection."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import pytest

import ferrio.inspect
from ferrio import testing
from ferrio.inspect import _serve
from tests.testing_package.recording_runs import GENEROUS, run


@pytest.fixture(autouse=True)
def stopped():
    yield
    ferrio.inspect.stop()


async def jobs():
    order = []

    async def job(name):
        await asyncio.to_thread(int)
        order.append(name)

    await asyncio.gather(*map(job, "abc"))
    return order


async def echo():
    async def answer(reader, writer):
        writer.write(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    answered = await reader.read()
    writer.close()
    server.close()
    return answered


def replayed(main, file):
    ends = []

    async def again():
        ends.append(await main())

    report = testing.replay(again, file)
    assert report.failure is None, report.failure
    return ends


def test_what_start_records_is_replayed(tmp_path):
    ferrio.inspect.start(tmp_path / "socket", record=tmp_path / "app.rec")
    order = run(jobs)
    ferrio.inspect.stop()
    assert replayed(jobs, tmp_path / "app.rec") == [order]


@pytest.mark.parametrize("keeps_bytes", [False, True])
def test_bytes_are_written_if_asked(tmp_path, keeps_bytes):
    file = tmp_path / "app.rec"
    ferrio.inspect.start(tmp_path / "socket", record=str(file), record_bytes=keeps_bytes)
    assert run(echo) == b"hello"
    ferrio.inspect.stop()
    assert (b"hello" in file.read_bytes()) == keeps_bytes
    assert (file.stat().st_mode & 0o777) == 0o600
    if keeps_bytes:
        assert replayed(echo, file) == [b"hello"]


def test_a_program_that_is_inspected_already_can_be_recorded(tmp_path):
    path = ferrio.inspect.start(tmp_path / "socket")
    assert ferrio.inspect.start(record=tmp_path / "app.rec") == path
    assert ferrio.inspect.start(record=tmp_path / "app.rec") == path
    with pytest.raises(RuntimeError, match=r"recorded already, to .*app\.rec"):
        ferrio.inspect.start(record=tmp_path / "other.rec")
    assert not (tmp_path / "other.rec").exists()
    order = run(jobs)
    ferrio.inspect.stop()
    assert replayed(jobs, tmp_path / "app.rec") == [order]


def test_a_loop_that_runs_is_not_recorded_and_nothing_is_on(tmp_path):
    async def main():
        with pytest.raises(RuntimeError, match="begins before the loop runs"):
            ferrio.inspect.start(tmp_path / "socket", record=tmp_path / "app.rec")

    run(main)
    assert not _serve.is_on()
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_made_is_an_error_and_nothing_is_on(tmp_path):
    with pytest.raises(FileNotFoundError):
        ferrio.inspect.start(tmp_path / "socket", record=tmp_path / "none" / "app.rec")
    assert not _serve.is_on()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ends", ["by itself", "killed"])
def test_a_process_leaves_its_recording_and_its_forked_child_does_not_touch_it(tmp_path, ends):
    code = f"""
    import asyncio, os, sys
    import ferrio, ferrio.inspect

    async def main():
        await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            ferrio.inspect.stop()
            os._exit(0)
        os.waitpid(child, 0)
        await asyncio.to_thread(int)
        await asyncio.sleep(0.001)  # before it sleeps, it writes
        print("ready", flush=True)
        if {ends == "killed"}:
            await asyncio.Event().wait()

    ferrio.inspect.start({str(tmp_path / "socket")!r}, blocked=None, record={str(tmp_path / "app.rec")!r})
    ferrio.run(main())
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", process.communicate()
        if ends == "killed":
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=GENEROUS)
    assert errors == b""

    async def again():
        await asyncio.sleep(0)
        await asyncio.to_thread(int)
        done.append("job")
        await asyncio.sleep(0.001)

    done: list[str] = []
    report = testing.replay(again, tmp_path / "app.rec")
    assert done == ["job"]
    if report.failure is not None:
        assert ends == "killed"
        assert isinstance(report.failure.exception, testing.EndOfRecording)


def test_a_recording_of_no_loop_is_told(tmp_path, caplog):
    ferrio.inspect.start(tmp_path / "socket", record=os.fspath(tmp_path / "app.rec"))
    ferrio.inspect.stop()
    assert [each for each in caplog.records if "nothing was recorded" in each.getMessage()]
