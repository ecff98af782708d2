"""What ferrio does not offer yet says so in a sentence; nothing is half there."""

import asyncio
import socket
import ssl

import pytest

import ferrio


@pytest.fixture
def loop():
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()


def calls(loop, sock):
    context = ssl.create_default_context()
    address = ("127.0.0.1", 1)
    return {
        "TLS client": lambda: loop.create_connection(asyncio.Protocol, *address, ssl=context),
        "TLS by default": lambda: loop.create_connection(asyncio.Protocol, *address, ssl=True),
        "TLS server": lambda: loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context),
        "TLS accepted": lambda: loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=context),
        "start TLS": lambda: loop.start_tls(asyncio.Transport(), asyncio.Protocol(), context),
    }


@pytest.mark.parametrize("name", calls(None, None))
def test_it_raises_not_implemented_with_a_sentence(loop, name):
    left, right = socket.socketpair()
    left.setblocking(False)

    async def main():
        return await calls(loop, left)[name]()

    with left, right:
        with pytest.raises(NotImplementedError, match=r"\w+ \w+ \w+") as caught:
            loop.run_until_complete(main())
    assert type(caught.value) is NotImplementedError
