"""Where coroutines of asyncio's functions were made: `cr_origin`, which debug mode turns on."""

import asyncio

import pytest


@pytest.fixture
def in_debug_mode(new_event_loop):
    """Origins have been tracked in this process from here on, by a loop that is closed."""
    loop = new_event_loop()
    loop.set_debug(True)

    async def main():
        coroutine = loop.create_connection(asyncio.Protocol)
        coroutine.close()
        return coroutine.cr_origin

    origin = loop.run_until_complete(main())
    loop.close()
    return origin


def test_debug_mode_notes_where_a_coroutine_was_made(in_debug_mode):
    file, _, function = in_debug_mode[0]
    assert (file, function) == (__file__, "main")


def test_what_a_coroutine_raises_outlives_it_once_origins_were_tracked(in_debug_mode, new_event_loop):
    loop = new_event_loop()

    async def main():
        with pytest.raises(ValueError, match="host and port"):
            await loop.create_connection(asyncio.Protocol)

    loop.run_until_complete(main())


def test_a_coroutine_that_is_made_without_debug_mode_has_no_origin(in_debug_mode, new_event_loop):
    loop = new_event_loop()

    async def main():
        coroutine = loop.create_connection(asyncio.Protocol)
        coroutine.close()
        return coroutine.cr_origin

    assert loop.run_until_complete(main()) is None
