"""The version of what ferrio's loops offer to ferrio-bridge: a mismatch is a clear error, on ferrio's loops alone."""

import asyncio

import pytest
import rust_extension

import ferrio
from ferrio import _ferrio


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
def test_other_version_is_an_import_error_that_says_what_to_do(monkeypatch, version, advice):
    monkeypatch.setattr(_ferrio, "_bridge_version", version)
    found = f"{version[0]}.{version[1]}"
    with pytest.raises(
        ImportError, match=rf"needs version 1\.0 of ferrio's bridge, but ferrio .* has {found}: {advice}"
    ):
        run(ferrio.new_event_loop())
    assert run(asyncio.SelectorEventLoop()) == 1


def test_ferrio_without_a_version_is_too_old(monkeypatch):
    monkeypatch.delattr(_ferrio, "_bridge_version")
    with pytest.raises(ImportError, match=r"has 0\.0: update ferrio"):
        run(ferrio.new_event_loop())


def test_newer_second_number_is_fine(monkeypatch):
    monkeypatch.setattr(_ferrio, "_bridge_version", (1, 7))
    assert run(ferrio.new_event_loop()) == 1


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
