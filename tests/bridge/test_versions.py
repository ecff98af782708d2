"""The capsule of ferrio's loops: a version or a size that does not fit is a clear error, on ferrio's loops alone."""

import asyncio
import ctypes

import pytest
import rust_extension

import ferrio
from ferrio import _ferrio

NAME = b"ferrio._ferrio._bridge_api"


class Header(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("size", ctypes.c_size_t)]


def pointer_of(capsule, name=NAME):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.argtypes, get.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return get(capsule, name)


SIZE = Header.from_address(pointer_of(_ferrio._bridge_api)).size


# An extension uses the table that it has accepted as long as the process lives.
kept = []


@pytest.fixture
def offer(monkeypatch):
    """Has ferrio offer a table with another header, under another name if one is given."""

    def put(major, minor, size=SIZE, name=NAME):
        table = ctypes.create_string_buffer(ctypes.string_at(pointer_of(_ferrio._bridge_api), SIZE), SIZE + 64)
        Header.from_buffer(table).major = major
        Header.from_buffer(table).minor = minor
        Header.from_buffer(table).size = size
        new = ctypes.pythonapi.PyCapsule_New
        new.argtypes, new.restype = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p], ctypes.py_object
        kept.extend([table, name])
        monkeypatch.setattr(_ferrio, "_bridge_api", new(ctypes.addressof(table), name, None))

    return put


async def call():
    return await rust_extension.wake_once(1)


def run(loop):
    try:
        return loop.run_until_complete(call())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("version", "advice"),
    [((0, 9), "update ferrio"), ((2, 0), "rebuild the extension with a newer ferrio-bridge")],
)
def test_other_version_is_an_import_error_that_says_what_to_do(offer, version, advice):
    offer(*version)
    found = f"{version[0]}.{version[1]}"
    with pytest.raises(
        ImportError, match=rf"needs version 1\.0 of ferrio's bridge, but ferrio .* has {found}: {advice}"
    ):
        run(ferrio.new_event_loop())
    assert run(asyncio.SelectorEventLoop()) == 1


def test_ferrio_without_a_capsule_is_too_old(monkeypatch):
    monkeypatch.delattr(_ferrio, "_bridge_api")
    with pytest.raises(ImportError, match=r"has 0\.0: update ferrio"):
        run(ferrio.new_event_loop())


def test_object_that_is_no_such_capsule_is_not_read(monkeypatch, offer):
    offer(1, 0, name=b"another.capsule")
    with pytest.raises(ImportError, match=r"has 0\.0: update ferrio"):
        run(ferrio.new_event_loop())
    monkeypatch.setattr(_ferrio, "_bridge_api", (1, 0))
    with pytest.raises(ImportError, match=r"has 0\.0: update ferrio"):
        run(ferrio.new_event_loop())


def test_table_that_is_too_short_is_not_read(offer):
    offer(1, 0, size=SIZE - 1)
    with pytest.raises(ImportError, match=r"has 1\.0, whose table is too short: update ferrio"):
        run(ferrio.new_event_loop())


def test_newer_second_number_and_a_longer_table_are_fine(offer):
    offer(1, 7, size=SIZE + 64)
    assert run(ferrio.new_event_loop()) == 1


def test_capsule_is_what_c_code_finds_by_its_name():
    find = ctypes.pythonapi.PyCapsule_Import
    find.argtypes, find.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    assert find(NAME, 0) == pointer_of(_ferrio._bridge_api)
    header = Header.from_address(find(NAME, 0))
    coroutine = rust_extension.lazy(1)
    coroutine.close()
    assert (header.major, header.minor) == coroutine.__ferrio_bridge__


def test_refused_loop_works_once_ferrio_fits(offer, monkeypatch):
    with monkeypatch.context() as context:
        context.delattr(_ferrio, "_bridge_api")
        loop = ferrio.new_event_loop()
        with pytest.raises(ImportError, match="update ferrio"):
            loop.run_until_complete(call())
    assert run(loop) == 1


def test_loop_that_overrides_create_future_is_asked(new_event_loop):
    class Loop(ferrio.EventLoop):
        made = 0

        def create_future(self):
            self.made += 1
            return super().create_future()

    async def main():
        gate = rust_extension.Gate()
        task = gate.wait()
        await asyncio.sleep(0)
        gate.open_for_one()
        await task

    loop = Loop()
    loop.run_until_complete(main())
    loop.close()
    assert loop.made == 1
