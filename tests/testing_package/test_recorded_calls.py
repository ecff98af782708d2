"""Recordings of what programs ask Python for: TLS, child processes, pipes, datagrams, sendfile, random bytes."""

import asyncio
import contextlib
import gc
import json
import os
import random
import ssl
import warnings

import pytest

from ferrio import testing
from ferrio.testing._calls import decode_error, decoded, encode, encode_error
from tests.support.certificates import client_context, server_context
from tests.testing_package import programs_outside
from tests.testing_package.recording_runs import run


class Outcome(Exception):
    """What a program ends with."""


def raising(program):
    async def main():
        raise Outcome(repr(await program()))

    return main


def first_outcome(file, program, **keywords):
    with testing.record(file, bytes=True, **keywords), pytest.raises(Outcome) as first:
        run(raising(program))
    return str(first.value)


@pytest.mark.parametrize("program", programs_outside.PROGRAMS, ids=lambda program: program.__name__)
def test_what_came_from_outside_comes_again(tmp_path, program):
    file = tmp_path / "file"
    first = first_outcome(file, program)
    for _ in range(3):
        report = testing.replay(raising(program), file)
        assert str(report.failure.exception) == first
        assert report.leftovers == []


def test_without_bytes_nothing_secret_is_written(tmp_path):
    async def main():
        secret.append(os.urandom(16))
        await programs_outside.tls_by_hand()
        await asyncio.to_thread(int)

    secret, file = [], tmp_path / "file"
    with testing.record(file):
        run(main)
    content = file.read_bytes()
    assert secret[0] not in content
    assert b"by hand" not in content
    with pytest.raises(testing.Drift, match=r"record\(\.\.\., bytes=True\) keeps them"):
        testing.replay(main, file)


def test_children_without_output_need_no_bytes(tmp_path):
    file = tmp_path / "file"
    with testing.record(file), pytest.raises(Outcome) as first:
        run(raising(programs_outside.child_that_is_left))
    report = testing.replay(raising(programs_outside.child_that_is_left), file)
    assert str(report.failure.exception) == str(first.value)


def test_a_message_of_another_length_over_tls_leaves_the_recording(tmp_path):
    """Only its length is known, and that is compared where it is encrypted."""

    async def main():
        async with programs_outside.serving(programs_outside.echo, ssl=server_context()) as port:
            secure = {"ssl": client_context(), "server_hostname": "localhost"}
            reader, writer = await asyncio.open_connection("127.0.0.1", port, **secure)
            writer.write(b"x" * next(lengths) + b"\n")
            await reader.readline()
            writer.close()
            await writer.wait_closed()

    lengths, file = iter((10, 20)), tmp_path / "file"
    with testing.record(file, bytes=True):
        run(main)
    with pytest.raises(
        testing.Drift, match=r"(?s)expected: calls TLS write of 11 bytes.*came: calls TLS write of 21 bytes"
    ):
        testing.replay(main, file)


def test_random_bytes_that_are_drawn_once_a_process_are_no_drift(tmp_path):
    """As by a module that is imported in the recorded run: the next bytes of another length are found all the same."""
    drawn = []

    async def main():
        if not drawn:
            os.urandom(32)
        drawn.append(os.urandom(16))
        await asyncio.sleep(0)
        drawn.append(os.urandom(8))

    file = tmp_path / "file"
    with testing.record(file, bytes=True):
        run(main)
    assert testing.replay(main, file).failure is None
    assert drawn[:2] == drawn[2:]


def test_nothing_stays_replaced(tmp_path):
    before = ssl.SSLContext.wrap_bio, os.urandom, random._urandom

    async def main():
        inside.append((ssl.SSLContext.wrap_bio, os.urandom))

    inside, file = [], tmp_path / "file"
    with testing.record(file, bytes=True):
        run(main)
    testing.replay(main, file)
    assert (ssl.SSLContext.wrap_bio, os.urandom, random._urandom) == before
    assert all(each[0] is not before[0] for each in inside)


def test_a_damaged_call_is_told(tmp_path):
    file = tmp_path / "file"
    with testing.record(file, bytes=True), contextlib.suppress(Outcome):
        run(raising(programs_outside.children))
    content = file.read_bytes()
    for old, new in ((b'{"result": ', b'["result", '), (b'"name": "', b'"name": 1'), (b'{"result"', b'{"resul!"')):
        file.write_bytes(content.replace(old, new))
        with contextlib.suppress(testing.Drift):
            assert testing.replay(raising(programs_outside.children), file).failure is not None


@pytest.mark.parametrize("program", [programs_outside.children, programs_outside.tls], ids=["children", "tls"])
def test_a_recording_that_is_cut_off_leaves_nothing_open(tmp_path, program):
    """Wherever it ends, no process is started or sent a signal, and no transport is left to the garbage collector."""
    file = tmp_path / "file"
    first_outcome(file, program)
    content = file.read_bytes()
    entries = content.index(b"\n", content.index(b"\n") + 1) + 1
    for part in range(16):
        file.write_bytes(content[: entries + (len(content) - entries) * part // 16])
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert isinstance(testing.replay(raising(program), file).failure.exception, testing.EndOfRecording)
            gc.collect()
        assert [str(each.message) for each in warned] == []


@pytest.mark.parametrize(
    "value", [None, True, 5, 0.5, "text", b"bytes", ("a", b"b"), [1, (2,)], {"k": (("a", "b"),)}, {1: b""}]
)
def test_a_result_is_encoded(value):
    assert decoded(json.loads(json.dumps(encode(value)))) == value


def test_an_exception_is_encoded():
    error = FileNotFoundError(2, "No such file or directory", "program")
    again = decode_error(json.loads(json.dumps(encode_error(error))))
    assert (type(again), str(again), again.filename) == (FileNotFoundError, str(error), "program")

    class OwnError(Exception):
        pass

    assert str(decode_error(encode_error(OwnError("text")))).endswith("OwnError: text")
