"""Name lookup: numeric addresses need no thread; all others are resolved as by the socket module."""

import asyncio
import concurrent.futures
import socket
import threading

import pytest

import ferrio
from tests.support.differential import assert_same, outcome_of

LITERALS = [
    (("127.0.0.1", 80), {}),
    (("127.0.0.1", "80"), {}),
    (("127.0.0.1", None), {}),
    (("127.0.0.1", 80), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", 80), {"type": socket.SOCK_DGRAM}),
    (("127.0.0.1", 80), {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}),
    (("127.0.0.1", 80), {"family": socket.AF_INET6, "type": socket.SOCK_STREAM}),
    (("127.0.0.1", 80), {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
    (("::1", 80), {"type": socket.SOCK_STREAM}),
    (("::1", 80), {"family": socket.AF_INET, "type": socket.SOCK_STREAM}),
    (("::ffff:1.2.3.4", 80), {"type": socket.SOCK_STREAM}),
    (("fe80::1%lo", 80), {"type": socket.SOCK_STREAM}),
    (("fe80::1%1", 80), {"type": socket.SOCK_STREAM}),
    (("fe80::1%nosuch", 80), {"type": socket.SOCK_STREAM}),
    ((b"127.0.0.1", 80), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", b"80"), {"type": socket.SOCK_STREAM}),
    (("127.1", 80), {"type": socket.SOCK_STREAM}),
    (("0x7f.1", 80), {"type": socket.SOCK_STREAM}),
    ((None, 80), {"type": socket.SOCK_STREAM}),
    ((None, 80), {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
    (("", 80), {"type": socket.SOCK_STREAM}),
    (("localhost", 80), {"type": socket.SOCK_STREAM}),
    (("localhost", "http"), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", "http"), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", "no such service"), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", 70000), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", -1), {"type": socket.SOCK_STREAM}),
    (("127.0.0.1", 80), {"flags": socket.AI_CANONNAME}),
    (("127.0.0.1", 80), {"flags": socket.AI_NUMERICHOST}),
    (("no.such.host.invalid", 80), {"flags": socket.AI_NUMERICHOST}),
    (("a" * 70 + ".invalid", 80), {}),
    ((5, 80), {}),
    (("127.0.0.1", 1.5), {}),
    (("127.0.0.1", 80), {"type": socket.SOCK_RAW}),
    (("127.0.0.1", 80), {"type": 99}),
    (("127.0.0.1\0", 80), {}),
]


@pytest.mark.parametrize(("arguments", "keywords"), LITERALS, ids=lambda value: repr(value)[:60])
def test_getaddrinfo_answers_as_the_socket_module(arguments, keywords):
    async def scenario(trace):
        kind, *rest = await outcome_of(asyncio.get_running_loop().getaddrinfo(*arguments, **keywords))
        trace.append((kind, rest[0]) if kind == "raised" else (kind, *rest))

    assert_same(scenario)


def test_answers_have_the_socket_modules_types(loop):
    family, kind, proto, canonical, address = loop.run_until_complete(
        loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    )[0]
    assert isinstance(family, socket.AddressFamily)
    assert isinstance(kind, socket.SocketKind)
    assert type(proto) is int
    assert canonical == ""
    assert address == ("127.0.0.1", 80)


def test_literals_need_no_thread():
    import ferrio

    loop = ferrio.new_event_loop()
    try:
        before = threading.active_count()
        for host in ("127.0.0.1", "::1"):
            assert loop.run_until_complete(loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM))
        assert threading.active_count() == before
    finally:
        loop.close()


def test_a_zone_is_kept(loop):
    index = socket.if_nametoindex("lo")
    address = loop.run_until_complete(loop.getaddrinfo("fe80::1%lo", 80, type=socket.SOCK_STREAM))[0][4]
    assert address == ("fe80::1%lo", 80, 0, index) or address == ("fe80::1", 80, 0, index)


def test_lookups_go_through_the_socket_module(loop, monkeypatch):
    """Programs and test suites replace `socket.getaddrinfo`."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **keywords: ["replaced"])
    assert loop.run_until_complete(loop.getaddrinfo("some.host.invalid", 80)) == ["replaced"]


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("::1", 80, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("localhost", 80), 0),
        (("127.0.0.1", 80), 0),
        ("wrong", 0),
    ],
    ids=repr,
)
def test_getnameinfo_answers_as_the_socket_module(address, flags):
    async def scenario(trace):
        trace.append(await outcome_of(asyncio.get_running_loop().getnameinfo(address, flags)))

    assert_same(scenario)


def test_a_lookup_does_not_wait_for_jobs_that_occupy_the_default_executor(monkeypatch):
    """Under asyncio a host is looked up only when a job ends."""
    loop = ferrio.new_event_loop()
    gate = threading.Event()

    def look_up(*_):
        return threading.current_thread().name

    async def main():
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        names = [await loop.getaddrinfo("a.test", 1)]
        jobs = [loop.run_in_executor(None, gate.wait, 30) for _ in range(loop._default_executor._max_workers)]
        names += await asyncio.gather(*(loop.getaddrinfo("a.test", 1) for _ in range(20)))
        gate.set()
        await asyncio.gather(*jobs)
        names.append(await loop.getaddrinfo("a.test", 1))
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
            await loop.getaddrinfo("a.test", 1)
        return names

    names = loop.run_until_complete(main())
    loop.close()
    assert {names[0][:8], names[-1][:8]} == {"asyncio_"}
    assert {name.rpartition("_")[0] for name in names[1:-1]} == {"asyncio_lookup"}
    assert len(set(names[1:-1])) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_lookups_go_to_the_executor_that_the_program_has_set(monkeypatch):
    loop = ferrio.new_event_loop()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: threading.current_thread().name)
    with concurrent.futures.ThreadPoolExecutor(1, "mine") as executor:
        loop.set_default_executor(executor)
        gate = threading.Event()
        job = loop.run_in_executor(None, gate.wait, 30)
        lookup = loop.create_task(loop.getaddrinfo("a.test", 1))
        loop.run_until_complete(asyncio.sleep(0.01))
        assert not lookup.done()
        gate.set()
        assert loop.run_until_complete(lookup) == "mine_0"
        assert loop.run_until_complete(job)
    loop.close()
