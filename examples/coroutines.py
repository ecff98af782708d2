"""Coroutines: functions that can wait without holding up anybody else.

Shown here: `async def` and `await`, that calling a coroutine function does not start it, that coroutines are put
together like plain functions, and that return values and exceptions travel as they do there.

The program is a small dictionary: a server that knows some words, and a client that translates sentences.
"""

import asyncio
import inspect

WORDS = {"the": "le", "cat": "chat", "drinks": "boit", "milk": "lait", "black": "noir"}


class UnknownWordError(Exception):
    """The dictionary has no entry for this word."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one word per line until the client hangs up: the translation, or an empty line."""
    while line := await reader.readline():
        writer.write(WORDS.get(line.decode().strip(), "").encode() + b"\n")
        await writer.drain()
    writer.close()


class Dictionary:
    """A connection to the server. Each method that talks to it is a coroutine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def look_up(self, word: str) -> str:
        """Translate one word."""
        self._writer.write(f"{word}\n".encode())
        # At this await the coroutine steps aside. The loop resumes it here when the line has come.
        answer = (await self._reader.readline()).decode().strip()
        if not answer:
            raise UnknownWordError(word)
        return answer

    async def translate(self, sentence: str) -> str:
        """Translate a sentence: a coroutine made of other coroutines."""
        return " ".join([await self.look_up(word) for word in sentence.split()])

    async def close(self) -> None:
        """Say that no more words follow, and hang up when the server has."""
        self._writer.write_eof()
        await self._reader.read()
        self._writer.close()
        await self._writer.wait_closed()


async def main() -> None:
    """Start the server, talk to it, stop it."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        dictionary = Dictionary(*await asyncio.open_connection(*server.sockets[0].getsockname()))

        # Calling a coroutine function runs none of its code. It gives an object that waits to be awaited.
        pending = dictionary.translate("the black cat")
        print(f"after the call:  {type(pending).__name__}, {inspect.getcoroutinestate(pending)}")
        print(f"after the await: {await pending}, {inspect.getcoroutinestate(pending)}")

        # An exception goes up through the awaits as it goes up through calls.
        try:
            await dictionary.translate("the cat drinks coffee")
        except UnknownWordError as error:
            print(f"no entry for {error}")

        # Awaiting coroutines one after the other is sequential: this is a conversation, not a race.
        for sentence in ("the cat drinks milk", "black milk"):
            print(f"{sentence} -> {await dictionary.translate(sentence)}")

        # A coroutine that is no longer wanted can be closed. One that is merely forgotten earns a
        # "was never awaited" warning, which nearly always means that an await is missing.
        unwanted = dictionary.look_up("milk")
        unwanted.close()
        print(f"after close():   {inspect.getcoroutinestate(unwanted)}")

        await dictionary.close()


if __name__ == "__main__":
    asyncio.run(main())
