"""Every numeric parameter accepts or refuses every kind of value as in stock asyncio, with the same observable effects.

`tests/odd_numbers` has the operations and the values. The exceptions are listed here with their reasons, and in
docs/differences.md.
"""

import asyncio
import functools
import inspect
import socket
import sys

import pytest

import ferrio
from tests.odd_numbers import network, objects, primitives, streams  # noqa: F401 - they register what they try
from tests.odd_numbers.observation import MODES, OPERATIONS, observe, shown
from tests.odd_numbers.values import VALUES

NO_NUMBERS = {"str", "bytes", "None", "object", "complex", "list", "Refusing"}
NOT_ORDERED = {*NO_NUMBERS, "Indexed", "Floated", "Both", "Decimal(NaN)"}
DECIMALS = {"Decimal(1.5)", "Decimal(2)", "Decimal(-1)", "Decimal(NaN)"}
CONTRARY = {"Contrary(3)", "Contrary(-3)"}
DIFFERENT = {
    # A time that makes asyncio's loop fail later is refused, or converted to a float.
    "call_at": {*NOT_ORDERED, *DECIMALS, "10**400", "-10**400"},
    "call_at_and_cancel": {*NO_NUMBERS, "nan"},
    "timers_compared": NOT_ORDERED,
    "call_later": {"complex"},
    "wait": {"complex"},
    "as_completed": {"complex"},
    "timeout_at": {*NOT_ORDERED, *DECIMALS, "10**400", "-10**400"},
    "reschedule": {*NOT_ORDERED, *DECIMALS, "10**400", "-10**400"},
    "delay": {*NOT_ORDERED, *DECIMALS, "10**400", "-10**400"},
    # An int subclass with its own comparisons is evaluated when it is passed, and not again; a bool is a number.
    "semaphore": {"True"},
    "bounded_semaphore": {"True"},
    **dict.fromkeys(["reader_limit", "reader_limit_and_transport", "open_connection"], CONTRARY),
    **dict.fromkeys(["read", "readexactly", "incomplete"], CONTRARY),
    **dict.fromkeys(["sendfile_offset", "sendfile_count", "sock_sendfile_offset", "sock_sendfile_count"], CONTRARY),
    **dict.fromkeys(["write_buffer_limits", "datagram_buffer_limits", "pipe_buffer_limits"], CONTRARY),
    # A value that is not a number is refused when it is set.
    "reader_limit_set": {*NOT_ORDERED, *CONTRARY},
    # The loop's own lookups are no callbacks, so the error has no callback to be raised in.
    "slow_lookup_in_debug": NOT_ORDERED,
}

if "maxsize" not in inspect.getsource(asyncio.unix_events):
    # No file is that long: older asyncio raises OverflowError, later ones clamp such counts.
    for name in ("sendfile_count", "sock_sendfile_count"):
        DIFFERENT[name] = {*DIFFERENT[name], "2**63", "10**400"}

if sys.version_info >= (3, 15):
    # There, NotImplemented has no truth value, and the text about values without `__index__` differs.
    for name in ("call_at", "timeout_at", "reschedule", "timers_compared", "call_at_and_cancel"):
        DIFFERENT[name] = {*DIFFERENT[name], *CONTRARY}
    DIFFERENT["connection_options"] = {"1.5", "inf", "Decimal(1.5)", "Decimal(2)", "Fraction(3,2)", "OwnFloat(1.5)"}


@functools.cache
def stock(name: str, label: str) -> object:
    return observe(name, VALUES[label], "stock")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "stock"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_numbers_of_every_kind_are_taken_as_asyncio_takes_them(name, mode):
    for label, value in VALUES.items():
        if label not in DIFFERENT.get(name, ()):
            assert observe(name, value, mode) == stock(name, label), label


def test_numbers_that_differ_are_values_and_operations_that_are_tried():
    assert set(DIFFERENT) <= set(OPERATIONS)
    assert set().union(*DIFFERENT.values()) <= set(VALUES)


def test_a_time_that_is_no_number_is_refused():
    async def main():
        loop = asyncio.get_running_loop()
        for when in ("1", 1j, object()):
            with pytest.raises(TypeError, match="must be real number"):
                loop.call_at(when, print)
        await asyncio.sleep(0)

    ferrio.run(main())


def test_a_time_beyond_all_others_is_never():
    async def main():
        called = []
        loop = asyncio.get_running_loop()
        never = loop.call_at(10**400, called.append, "never")
        loop.call_at(-(10**400), called.append, "at once")
        await asyncio.sleep(0.001)
        never.cancel()
        return called, never.when() == 10**400

    assert ferrio.run(main()) == (["at once"], True)


def test_a_file_is_sent_to_its_end_whatever_the_count(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    async def main():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs, path.open("rb") as file:
            return await asyncio.get_running_loop().sock_sendfile(ours, file, 0, 10**400)

    assert ferrio.run(main()) == 3


def test_debug_mode_is_shown_as_a_bool():
    loop = ferrio.new_event_loop()
    loop.set_debug(1)
    assert loop.get_debug() is True
    loop.close()


def test_water_marks_are_shown_as_whole_bytes():
    async def main():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        transport.set_write_buffer_limits(high=10.5, low=True)
        marks = transport.get_write_buffer_limits()
        transport.abort()
        await asyncio.sleep(0)
        return shown(marks)

    assert ferrio.run(main()) == "(1, 10)"


def test_a_number_with_comparisons_of_its_own_is_asked_once():
    asked = []

    class Counting(int):
        def __le__(self, other):
            asked.append("<=")
            return int.__le__(self, other)

        def __lt__(self, other):
            asked.append("<")
            return int.__lt__(self, other)

    async def main():
        reader = ferrio.StreamReader(limit=Counting(3))
        for _ in range(3):
            reader.feed_data(b"a\n")
            await reader.readline()

    ferrio.run(main())
    assert asked == ["<="]
