"""Children of simulated programs: fakes that tests declare."""

import asyncio
import os
import signal
import subprocess

import pytest

from ferrio import testing
from ferrio.testing import sim

PIPE = asyncio.subprocess.PIPE


def passes(main, schedules=60):
    testing.run(main)
    report = testing.explore(main, schedules=schedules)
    assert report.failure is None, str(report)
    return report


def test_a_scripted_child_writes_and_ends_in_simulated_time():
    async def main():
        sim.program("git", stdout=b"on branch main\n", stderr=b"hint\n", status=3, after=5)
        child = await asyncio.create_subprocess_exec("/usr/bin/git", "status", stdout=PIPE, stderr=PIPE)
        assert await child.communicate() == (b"on branch main\n", b"hint\n")
        assert child.returncode == 3
        assert 5 <= asyncio.get_running_loop().time() < 6

    passes(main)


def test_a_fake_reads_what_the_program_writes():
    async def upper(process):
        assert process.args == ["upper", "-v"]
        assert process.env == {"LANG": "C"}
        while line := await process.stdin.readline():
            process.stdout.write(line.upper())
            await process.stdout.drain()

    async def main():
        sim.program("upper", upper)
        child = await asyncio.create_subprocess_exec("upper", "-v", stdin=PIPE, stdout=PIPE, env={"LANG": "C"})
        for text in (b"one\n", b"two\n"):
            child.stdin.write(text)
            await child.stdin.drain()
            assert await child.stdout.readline() == text.upper()
        child.stdin.close()
        assert await child.stdout.read() == b""
        assert await child.wait() == 0

    passes(main)


def test_much_output_comes_in_order_and_in_pieces():
    sizes = set()

    async def speak(process):
        for number in range(200):
            process.stdout.write(b"%08d" % number * 100)
            await process.stdout.drain()

    async def main():
        sim.program("speak", speak)
        child = await asyncio.create_subprocess_exec("speak", stdout=PIPE)
        data = bytearray()
        while piece := await child.stdout.read(1 << 20):
            sizes.add(len(piece))
            data += piece
        assert data == b"".join(b"%08d" % number * 100 for number in range(200))
        await child.wait()

    passes(main, schedules=20)
    assert len(sizes) > 1


def test_a_shell_has_its_command():
    commands = []

    async def shell(process):
        commands.append((process.command, process.args))
        return 7

    async def main():
        sim.program(lambda arguments: arguments[0] == "ls", shell)
        sim.program("sleep 1 | cat", status=9)
        child = await asyncio.create_subprocess_shell("ls -l 'a b'")
        assert await child.wait() == 7
        child = await asyncio.create_subprocess_shell("sleep 1 | cat")
        assert await child.wait() == 9

    testing.run(main)
    assert commands == [("ls -l 'a b'", ["ls", "-l", "a b"])]


def test_an_undeclared_program_is_refused_by_name():
    async def execute():
        sim.program("git")
        await asyncio.create_subprocess_exec("hg", "status")

    async def shell():
        await asyncio.create_subprocess_shell("hg status")

    with pytest.raises(testing.RealIOError, match=r"subprocess_exec\('hg', 'status'\).*sim.program"):
        testing.run(execute)
    with pytest.raises(testing.RealIOError, match=r"subprocess_shell\('hg status'\)"):
        testing.run(shell)


def test_fakes_belong_to_their_run():
    async def declare():
        sim.program("git")
        assert await (await asyncio.create_subprocess_exec("git")).wait() == 0

    runs = 0

    async def main():
        nonlocal runs
        runs += 1
        if runs == 1:
            sim.program("git")
        await asyncio.create_subprocess_exec("git")

    testing.run(declare)
    report = testing.explore(main, schedules=3, rerun=True)
    assert isinstance(report.failure.exception, testing.RealIOError)


def test_a_program_that_cannot_be_started():
    async def main():
        sim.program("missing", error=FileNotFoundError(2, "No such file or directory", "missing"))
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("missing")

    passes(main)


def test_arguments_are_checked_as_by_asyncio():
    async def main():
        loop = asyncio.get_running_loop()
        for keywords, text in (
            ({"universal_newlines": True}, "universal_newlines must be False"),
            ({"bufsize": 1}, "bufsize must be 0"),
            ({"text": True}, "text must be False"),
            ({"encoding": "ascii"}, "encoding must be None"),
            ({"shell": True}, "shell must be False"),
        ):
            with pytest.raises(ValueError, match=text):
                await loop.subprocess_exec(asyncio.SubprocessProtocol, "git", **keywords)
        with pytest.raises(ValueError, match="cmd must be a string"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, ["git"])

    testing.run(main)


@pytest.mark.parametrize("method", ["terminate", "kill"])
def test_a_child_is_ended_by_a_signal(method):
    async def serve(process):
        process.stdout.write(b"ready\n")
        await asyncio.sleep(3600)

    async def main():
        sim.program("server", serve)
        child = await asyncio.create_subprocess_exec("server", stdout=PIPE)
        assert await child.stdout.readline() == b"ready\n"
        getattr(child, method)()
        assert await child.stdout.read() == b""
        number = signal.SIGTERM if method == "terminate" else signal.SIGKILL
        assert await child.wait() == -number
        assert asyncio.get_running_loop().time() < 60

    passes(main)


def test_a_fake_handles_signals():
    async def stubborn(process):
        stop = asyncio.Event()
        process.on_signal(signal.SIGTERM, stop.set)
        with pytest.raises(OSError, match="Invalid"):
            process.on_signal(signal.SIGKILL, stop.set)
        process.stdout.write(b"ready\n")
        await stop.wait()
        await asyncio.sleep(1)
        process.stdout.write(b"bye\n")
        return 5

    async def main():
        sim.program("server", stubborn)
        child = await asyncio.create_subprocess_exec("server", stdout=PIPE)
        await child.stdout.readline()
        os.kill(child.pid, signal.SIGTERM)
        os.kill(child.pid, 0)
        assert await child.communicate() == (b"bye\n", None)
        assert child.returncode == 5
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)

    passes(main)


def test_the_race_of_terminating_what_ends_by_itself_is_explored():
    codes = set()

    async def main():
        sim.program("brief", after=1)
        child = await asyncio.create_subprocess_exec("brief")
        await asyncio.sleep(1)
        if child.returncode is None:
            child.terminate()
        codes.add(await child.wait())

    passes(main, schedules=100)
    assert codes == {0, -signal.SIGTERM}


def test_redirections():
    async def both(process):
        process.stdout.write(await process.stdin.read() or b"nothing")
        process.stderr.write(b"!")

    async def main():
        sim.program("both", both)
        child = await asyncio.create_subprocess_exec(
            "both", stdin=subprocess.DEVNULL, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert await child.communicate() == (b"nothing!", None)
        child = await asyncio.create_subprocess_exec(
            "both", stdin=PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert await child.communicate(b"x") == (None, None)
        read, write = os.pipe()
        child = await asyncio.create_subprocess_exec("both", stdin=subprocess.DEVNULL, stdout=write, stderr=write)
        await child.wait()
        os.close(write)
        child = await asyncio.create_subprocess_exec("both", stdin=read, stdout=PIPE)
        assert await child.communicate() == (b"nothing!", None)
        os.close(read)

    passes(main)


def test_a_program_that_stops_reading_breaks_the_pipe():
    async def endless(process):
        while True:
            process.stdout.write(b"y\n" * 1000)
            await process.stdout.drain()

    async def main():
        sim.program("yes", endless)
        child = await asyncio.create_subprocess_exec("yes", stdout=PIPE)
        assert (await child.stdout.readline()) == b"y\n"
        child._transport.get_pipe_transport(1).close()
        assert await child.wait() == -signal.SIGPIPE

    passes(main, schedules=20)


def test_a_fake_that_fails_fails_the_run():
    async def broken(process):
        raise LookupError("of the fake")

    async def main():
        sim.program("broken", broken)
        child = await asyncio.create_subprocess_exec("broken")
        assert await child.wait() == 1

    failure = testing.explore(main).failure
    assert isinstance(failure.exception, testing.UnhandledError)
    assert isinstance(failure.exception.__cause__, LookupError)


def test_a_child_serves_connections_of_the_program():
    async def server(process):
        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()

        await asyncio.sleep(0.5)
        async with await asyncio.start_server(answer, "127.0.0.1", 6000):
            process.stdout.write(b"listening\n")
            await asyncio.sleep(3600)

    async def main():
        sim.program("server", server)
        child = await asyncio.create_subprocess_exec("server", stdout=PIPE)
        assert await child.stdout.readline() == b"listening\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", 6000)
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()
        child.kill()
        await child.wait()

    passes(main)
    report = testing.explore(main, schedules=20, leftovers="fail")
    assert report.failure is None, str(report)


def test_a_child_that_is_left_running_is_a_leftover():
    async def main():
        sim.program("server", after=3600)
        kept.append(await asyncio.create_subprocess_exec("server"))

    kept = []
    report = testing.explore(main, schedules=5, leftovers="fail")
    assert "<FakeProcess server" in str(report.failure.exception)
    assert testing.explore(main, schedules=5).failure is None
