"""Whole programs that need nothing but asyncio: the chat of examples/chat, its server and its clients."""

import asyncio

from examples.chat.clients import Party, hold
from examples.chat.server import ChatServer

from .workload import workload

LIMIT = 60.0


@workload
async def chat_of_200() -> int:
    party = Party(clients=200, lines=2)
    chat = ChatServer()
    async with await asyncio.start_server(chat.handle, "127.0.0.1", 0, backlog=party.clients) as server:
        heard = await hold(party, server.sockets[0].getsockname()[1], LIMIT)
        await chat.until_nobody_is_left()
    assert heard == party.deliveries
    return heard
