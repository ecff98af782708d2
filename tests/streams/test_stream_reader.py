"""StreamReader reads what asyncio's does, however the data is cut: same results, same errors, same bytes left."""

import asyncio
import re
import sys
from typing import Any

import pytest
from hypothesis import given, settings, strategies

import ferrio
from tests.support.differential import assert_same_functions, outcome, outcome_of
from tests.support.primitive_programs import Program, shown, step

HAS_SEVERAL_SEPARATORS = sys.version_info >= (3, 13)
PROGRAMS = settings(max_examples=150, deadline=None)
ATTRIBUTES = ("partial", "expected", "consumed", "args")


class FakeTransport:
    """Says when it is paused and resumed."""

    def __init__(self, trace, can_pause=True):
        self.trace = trace
        self.can_pause = can_pause

    def __repr__(self):
        return "<transport>"

    def pause_reading(self):
        self.trace.append("pause")
        if not self.can_pause:
            raise NotImplementedError

    def resume_reading(self):
        self.trace.append("resume")


async def reading(call):
    """What a read came to, its error's attributes and context included."""
    try:
        return ("returned", await call())
    except (asyncio.CancelledError, Exception) as error:
        found = [(name, repr(getattr(error, name, None))) for name in ATTRIBUTES]
        return ("raised", type(error).__name__, str(error), found, type(error.__context__).__name__)


class ReaderProgram(Program):
    def __init__(self, module, trace, limit, can_pause):
        super().__init__(module, trace)
        self.reader = module.StreamReader(limit=limit, loop=asyncio.get_running_loop())
        self.reader.set_transport(FakeTransport(trace, can_pause))

    def do_feed(self, data):
        self.call(self.reader.feed_data, data)

    def do_feed_eof(self):
        self.call(self.reader.feed_eof)

    def do_set_exception(self):
        self.call(self.reader.set_exception, ConnectionResetError(104, "reset"))

    def do_read(self, method, *arguments):
        async def read(number):
            self.trace.append((number, await reading(lambda: getattr(self.reader, method)(*arguments))))

        self.start(read)

    def do_look(self):
        """From here on the bytes live in a bytearray that others see."""
        self.trace.append(bytes(self.reader._buffer))

    def do_change(self):
        self.reader._buffer.extend(b"ab\n")

    async def do_turn(self):
        await asyncio.sleep(0)

    def do_cancel(self, number):
        if self.tasks:
            self.tasks[number % len(self.tasks)].cancel()

    def show(self):
        reader = self.reader
        shown_state = (reader.at_eof(), reader._eof, reader._paused, reader._waiter is None, str(reader.exception()))
        return (re.sub(r"<Future [^>]*>+", "<Future>", shown(reader)), *shown_state)


def datas(size):
    return strategies.text("ab\n", max_size=size).map(str.encode)


def separators():
    one = strategies.text("ab\n", max_size=3).map(str.encode)
    if not HAS_SEVERAL_SEPARATORS:
        return one
    return strategies.one_of(one, strategies.lists(one, max_size=3).map(tuple))


def calls():
    read = strategies.one_of(
        step("read", strategies.just("readline")),
        step("read", strategies.just("readuntil")),
        step("read", strategies.just("readuntil"), separators()),
        step("read", strategies.just("readexactly"), strategies.integers(-1, 12)),
        step("read", strategies.just("read"), strategies.integers(-1, 12)),
        step("read", strategies.just("read")),
        step("read", strategies.just("__anext__")),
    )
    feeding = [
        step("feed", datas(10)),
        step("feed", datas(40)),
        step("turn"),
        step("cancel", strategies.integers(0, 9)),
    ]
    return strategies.one_of(read, read, *feeding, *feeding)


def programs():
    rare = strategies.sampled_from([("feed_eof",), ("set_exception",), ("turn",), ("turn",), ("look",), ("change",)])
    return strategies.lists(strategies.one_of(calls(), calls(), calls(), calls(), rare), max_size=25)


@PROGRAMS
@given(limit=strategies.integers(1, 20), can_pause=strategies.booleans(), program=programs())
def test_any_program_shows_what_asyncio_shows(limit, can_pause, program):
    async def scenario(module, trace):
        await ReaderProgram(module, trace, limit, can_pause).run(program)
        trace.append("end")

    assert_same_functions(scenario)


@PROGRAMS
@given(
    pieces=strategies.lists(datas(30), max_size=12),
    reads=strategies.lists(calls().filter(lambda call: call[0] == "read"), min_size=1, max_size=8),
    limit=strategies.integers(1, 60),
)
def test_data_in_any_pieces_is_read_as_asyncio_reads_it(pieces, reads, limit):
    async def scenario(module, trace):
        reader = module.StreamReader(limit=limit, loop=asyncio.get_running_loop())
        reader.set_transport(FakeTransport(trace))

        async def feed():
            for piece in pieces:
                reader.feed_data(piece)
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        for _, method, *arguments in reads:
            trace.append(await reading(lambda method=method, arguments=arguments: getattr(reader, method)(*arguments)))
            trace.append(len(reader._buffer) if len(trace) % 3 == 0 else reader.at_eof())
        await feeding
        trace.append((bytes(reader._buffer), reader._paused))

    assert_same_functions(scenario)


@pytest.mark.parametrize("method", ["read", "readexactly", "readuntil", "readline"])
def test_one_reads_at_a_time(method):
    async def scenario(module, trace):
        reader = module.StreamReader()
        arguments = (5,) if method in ("read", "readexactly") else ()
        first = asyncio.create_task(getattr(reader, method)(*arguments))
        await asyncio.sleep(0)
        for other, its_arguments in [
            ("read", (1,)),
            ("readexactly", (1,)),
            ("readuntil", ()),
            ("readline", ()),
            ("read", ()),
        ]:
            trace.append(await outcome_of(getattr(reader, other)(*its_arguments)))
        reader.feed_data(b"12345\n")
        trace.append((await first, bytes(reader._buffer)))

    assert_same_functions(scenario)


@pytest.mark.parametrize("limit", [0, -1, 1, True, "5"])
def test_limits(limit):
    async def scenario(module, trace):
        kind, *rest = outcome(lambda: module.StreamReader(limit=limit)._limit)
        trace.append((kind, rest[0] if kind == "raised" else rest[0] == limit))

    assert_same_functions(scenario)


def test_what_is_fed_after_the_end_is_refused():
    async def scenario(module, trace):
        reader = module.StreamReader()
        reader.feed_data(b"")
        reader.feed_data(bytearray(b"a"))
        reader.feed_data(memoryview(b"b\n"))
        reader.feed_eof()
        reader.feed_eof()
        trace.append(outcome(reader.feed_data, b"a"))
        trace.append([line async for line in reader])
        trace.append(reader.at_eof())

    assert_same_functions(scenario)


def test_the_buffer_is_one_object_that_may_be_changed():
    async def scenario(module, trace):
        reader = module.StreamReader()
        reader.feed_data(b"one\ntwo\nthree")
        buffer = reader._buffer
        trace.append(await reader.readline())
        trace.append(bytes(buffer))
        buffer += b"!\n"
        trace.append(await reader.readline())
        del buffer[:2]
        trace.append((await reader.readline(), bytes(buffer), reader._buffer is buffer))
        reader.feed_data(b"more")
        trace.append(bytes(buffer))
        reader._buffer = bytearray(b"other\nbytes")
        trace.append((await reader.readline(), bytes(reader._buffer), bytes(buffer)))

    assert_same_functions(scenario)


def overriding(base: Any) -> type:
    """A class with methods that a program may override."""

    class Reader(base):
        def __init__(self, *arguments, trace, **keywords):
            super().__init__(*arguments, **keywords)
            self.trace = trace

        def feed_data(self, data):
            self.trace.append(("feed_data", bytes(data)))
            super().feed_data(data)

        def feed_eof(self):
            self.trace.append("feed_eof")
            super().feed_eof()

        async def readuntil(self, separator=b"\n"):
            self.trace.append(("readuntil", separator))
            return (await super().readuntil(separator)).upper()

        async def read(self, n=-1):
            self.trace.append(("read", n))
            return await super().read(n)

    return Reader


def test_an_overridden_method_is_used_by_the_others():
    async def scenario(module, trace):
        reader = overriding(module.StreamReader)(limit=10, trace=trace)
        reader.feed_data(b"one\ntwo\nrest")
        trace.append(await reader.readline())
        trace.append(await reader.__anext__())
        reader.feed_data(b"-is-too-long")
        trace.append(await reading(reader.readline))
        reader.feed_data(b"so-is-this-one\nrest")
        trace.append(await reading(reader.readline))
        trace.append(bytes(reader._buffer))
        reader.feed_eof()
        trace.append(await reader.readline())
        trace.append(await reader.read())

    assert_same_functions(scenario)


def test_a_reader_whose_waiter_was_cancelled_continues():
    async def scenario(module, trace):
        reader = module.StreamReader()
        for method, arguments in [("read", (3,)), ("readexactly", (3,)), ("readline", ()), ("read", ())]:
            task = asyncio.create_task(getattr(reader, method)(*arguments))
            await asyncio.sleep(0)
            task.cancel()
            trace.append(await outcome_of(task))
            trace.append(reader._waiter)
        reader.feed_data(b"abc")
        trace.append(await reader.readexactly(3))

    assert_same_functions(scenario)


def test_more_may_be_asked_for_than_there_is_memory():
    async def scenario(module, trace):
        for number in (sys.maxsize, 1 << 80, -1 << 80):
            for method in ("read", "readexactly"):
                reader = module.StreamReader()
                reader.feed_data(b"abc")
                reader.feed_eof()
                trace.append((await outcome_of(getattr(reader, method)(number)))[:2])
                trace.append(bytes(reader._buffer))

    assert_same_functions(scenario)


def test_a_subclass_may_wait_for_data_itself():
    async def scenario(module: Any, trace):
        class Reader(module.StreamReader):
            async def read_byte(self):
                while not self._buffer:
                    await self._wait_for_data("read_byte")
                byte = self._buffer.pop(0)
                self._maybe_resume_transport()
                return byte

        reader = Reader(limit=2)
        reader.set_transport(FakeTransport(trace))
        task = asyncio.create_task(reader.read_byte())
        await asyncio.sleep(0)
        trace.append(await outcome_of(reader.read_byte()))
        reader.feed_data(b"abcde")
        trace.append(await task)
        for _ in range(4):
            trace.append(await reader.read_byte())
        reader.feed_eof()
        trace.append(await outcome_of(reader._wait_for_data("x")))

    assert_same_functions(scenario)


def test_private_methods_of_a_subclass_are_not_asked():
    """A difference from asyncio, which asks them: docs/differences.md."""

    async def asked(stream_reader: Any):
        names = []

        class Reader(stream_reader):
            async def _wait_for_data(self, name):
                names.append(name)
                await super()._wait_for_data(name)

            def _wakeup_waiter(self):
                names.append("wakeup")
                super()._wakeup_waiter()

            def _maybe_resume_transport(self):
                names.append("resume")
                super()._maybe_resume_transport()

        reader = Reader()
        asyncio.get_running_loop().call_soon(reader.feed_data, b"line\n")
        assert await reader.readline() == b"line\n"
        return names

    assert ferrio.run(asked(asyncio.StreamReader)) == ["readuntil", "wakeup", "resume"]
    assert ferrio.run(asked(ferrio.StreamReader)) == []


@pytest.mark.parametrize("limit", [None, "1", 0, -1, 0.0])
def test_a_limit_that_is_none(limit):
    async def refusal(module):
        with pytest.raises((TypeError, ValueError)) as raised:
            module.StreamReader(limit=limit)
        return type(raised.value), str(raised.value)

    assert ferrio.run(refusal(ferrio)) == ferrio.run(refusal(asyncio))


@pytest.mark.parametrize("streams", [asyncio, ferrio], ids=["asyncio", "ferrio"])
@pytest.mark.parametrize(
    "read", [lambda reader: reader.read(1), lambda reader: reader.readline()], ids=["read", "line"]
)
def test_a_class_set_as_exception_is_raised_and_what_is_none_refused(streams, read):
    async def main():
        reader = streams.StreamReader()
        reader.set_exception(ConnectionResetError)
        with pytest.raises(ConnectionResetError):
            await read(reader)
        reader.set_exception("nothing to raise")
        with pytest.raises(TypeError, match="exceptions must derive from BaseException"):
            await read(reader)

    asyncio.run(main())
