"""Subprocesses: their input and output. The children are real."""

import asyncio
import functools
import os
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest

from tests.support.child_processes import BIG, flood, output, python, shell
from tests.support.differential import assert_same, outcome_of

# -- talking to a child ----------------------------------------------------------


def test_much_goes_in_and_out_at_once(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await process.communicate(BIG) == (BIG, b"")
        assert process.returncode == 0

    loop.run_until_complete(main())


def test_streams_go_where_they_are_sent(loop, tmp_path):
    async def main():
        process = await shell("echo out; echo err >&2", stdout=PIPE, stderr=STDOUT)
        assert await process.communicate() == (b"out\nerr\n", None)
        with open(tmp_path / "file", "w+b") as file:
            process = await shell("echo out; echo err >&2", stdout=file, stderr=DEVNULL, stdin=DEVNULL)
            assert await process.wait() == 0
            assert file.seek(0) == 0
            assert file.read() == b"out\n"

    loop.run_until_complete(main())


def test_the_pipes_are_pipes(loop):
    """Not sockets: /dev/stdin and /dev/stdout can be opened in the child."""

    async def main():
        process = await shell(
            "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert await process.communicate(b"through") == (b"through", b"err\n")

    loop.run_until_complete(main())


def test_a_dialogue_line_by_line(loop):
    async def main():
        process = await shell("while read line; do echo got $line; done", stdin=PIPE, stdout=PIPE)
        for word in (b"one", b"two", b"three"):
            process.stdin.write(word + b"\n")
            await process.stdin.drain()
            assert await process.stdout.readline() == b"got " + word + b"\n"
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.wait() == 0

    loop.run_until_complete(main())


def test_a_child_that_closes_stdin_early_breaks_the_pipe_not_the_program(loop):
    async def main():
        process = await shell("exec <&-; echo closed; read never", stdin=PIPE, stdout=PIPE)
        assert await process.stdout.readline() == b"closed\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await flood(process.stdin)
        assert await process.wait() == 1
        process = await asyncio.create_subprocess_exec("true", stdin=PIPE)
        assert await process.communicate(BIG) == (None, None)

    loop.run_until_complete(main())


# -- Popen's arguments -----------------------------------------------------------


def test_popens_arguments_arrive(loop, tmp_path):
    async def main():
        assert await output("pwd", cwd=tmp_path) == os.fsencode(f"{tmp_path.resolve()}\n")
        assert await output("printenv", "FERRIO", env={**os.environ, "FERRIO": "x"}) == b"x\n"
        assert await output("name", "-c", "echo $0 a b", executable="/bin/sh") == b"name a b\n"
        code = "import os; print(os.getsid(0) == os.getpid())"
        assert await output(*python(code), start_new_session=True) == b"True\n"
        code = "import os; print(os.getpgid(0) == os.getpid())"
        assert await output(*python(code), process_group=0) == b"True\n"
        assert await output("sh", "-c", "umask", umask=0o027) == b"0027\n"
        assert await output("pwd", preexec_fn=functools.partial(os.chdir, "/")) == b"/\n"
        assert await output(b"echo", tmp_path / "x", "y") == os.fsencode(f"{tmp_path / 'x'} y\n")
        code = "import signal; print(signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN)"
        assert await output(*python(code), restore_signals=True) == b"True\n"  # Python itself ignores it again

    loop.run_until_complete(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a child as somebody else")
def test_user_and_group_arrive(loop):
    async def main():
        found = await output("/bin/sh", "-c", "id -u; id -g; id -G", user=65534, group=65534, extra_groups=[65533])
        assert found == b"65534\n65534\n65534 65533\n"

    loop.run_until_complete(main())


def test_passed_descriptors_are_inherited_and_no_other(loop):
    async def main():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        ours, theirs = os.pipe()
        neighbour = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        try:
            listing = "ls /proc/self/fd"
            found = await output("sh", "-c", listing, pass_fds=[theirs])
            assert {int(word) for word in found.split()} - {theirs} <= {0, 1, 2, 3}
            assert b"%d\n" % theirs in found
            # What Popen does not close has to close itself.
            found = await output("sh", "-c", listing, close_fds=False, stdin=DEVNULL)
            before = await output("sh", "-c", listing, stdin=DEVNULL)
            inheritable = {b"%d" % fd for fd in range(3, 256) if is_inheritable(fd)}
            assert set(found.split()) - set(before.split()) <= inheritable
        finally:
            os.close(ours)
            os.close(theirs)
            server.close()
            await neighbour.communicate(b"")

    loop.run_until_complete(main())


def is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


@pytest.mark.parametrize("debug", [False, True])
def test_what_asyncio_refuses_is_refused_in_its_words(debug):
    refused = [
        {"universal_newlines": True},
        {"bufsize": 1},
        {"text": True},
        {"encoding": "utf-8"},
        {"errors": "strict"},
    ]

    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def never():
            raise AssertionError("the arguments are checked first")

        for keywords in [*refused, {"shell": True}, {"text": True, "bufsize": 3}]:
            trace.append(await outcome_of(loop.subprocess_exec(never, "true", **keywords)))
        for keywords in [*refused, {"shell": False}, {"encoding": "x", "text": 1}]:
            trace.append(await outcome_of(loop.subprocess_shell(never, "true", **keywords)))
        for command in (["true"], 3, None):
            trace.append(await outcome_of(loop.subprocess_shell(never, command)))

    assert_same(scenario, debug=debug)


def test_what_popen_refuses_comes_out_as_it_is():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        factory = asyncio.SubprocessProtocol
        trace.append(await outcome_of(loop.subprocess_exec(factory, "/does/not/exist")))
        trace.append(await outcome_of(loop.subprocess_exec(factory, "/")))
        trace.append(await outcome_of(loop.subprocess_exec(factory, "true", cwd="/does/not/exist")))
        trace.append(await outcome_of(loop.subprocess_exec(factory, "nul\0")))
        trace.append(await outcome_of(loop.subprocess_exec(factory, 3)))
        trace.append(await outcome_of(loop.subprocess_exec(factory, "true", stdin=12345)))
        trace.append(await outcome_of(loop.subprocess_exec(factory, "true", preexec_fn=lambda: 1 / 0)))
        trace.append(await outcome_of(loop.subprocess_exec(lambda: 1 / 0, "true")))
        process = await asyncio.create_subprocess_shell("does-not-exist 2>/dev/null")
        trace.append(await process.wait())

    assert_same(scenario)
