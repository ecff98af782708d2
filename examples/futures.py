"""Futures: a promise of a result, and the bridge between callbacks and `await`.

Shown here: `loop.create_future` with `set_result` and `set_exception`, done callbacks, results that come from another
thread through `call_soon_threadsafe`, and `wrap_future` for futures of `concurrent.futures`.

Most programs never make a future. Libraries do, whenever an answer comes through a callback. The program here is such
a library: a client that sends many questions over one connection and gets the answers in any order.
"""

import asyncio
import functools
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class CalculatorServer(asyncio.Protocol):
    """Gets lines like `7 2 + 3`, answers `7 5`: the number of the question comes back with the answer.

    It gathers three questions and answers the last one first, as busy servers may.
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes come in any portions: cut them into lines first."""
        *lines, self._received = (self._received + data).split(b"\n")
        self._waiting += [line.decode() for line in lines]
        while len(self._waiting) >= 3:
            for question in reversed(self._waiting[:3]):
                number, left, operator, right = question.split()
                answer = str(int(left) + int(right)) if operator == "+" else f"cannot do {operator}"
                self._transport.write(f"{number} {answer}\n".encode())
            del self._waiting[:3]


class CalculatorClient(asyncio.Protocol):
    """Turns the callback `data_received` into something that can be awaited."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._received = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the questions."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, question: str) -> asyncio.Future[int]:
        """Send a question and promise an answer. No `async def` needed: the future is what gets awaited."""
        number = next(self._numbers)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        self._transport.write(f"{number} {question}\n".encode())
        return future

    def data_received(self, data: bytes) -> None:
        """Settle the future that each answer belongs to."""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            number, answer = line.decode().split(" ", 1)
            future = self._pending.pop(int(number))
            if future.cancelled():
                continue  # whoever asked has given up; a settled future must not be settled again
            if answer.isdigit():
                future.set_result(int(answer))
            else:
                future.set_exception(ArithmeticError(answer))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the end how it came."""
        if exc is None:
            self.closed.set_result(None)
        else:
            self.closed.set_exception(exc)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


def note_arrival(order: list[str], question: str, _future: asyncio.Future[int]) -> None:
    """Remember which question was answered when."""
    order.append(question)


async def many_questions_one_connection() -> None:
    """Ask three things at once. The answers come in reverse, each finds its own future."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(CalculatorServer, "127.0.0.1", 0)
    async with server:
        _transport, client = await loop.create_connection(CalculatorClient, *server.sockets[0].getsockname())
        order: list[str] = []
        questions = ("1 + 2", "10 + 20", "6 % 4")
        futures = [client.ask(question) for question in questions]
        for question, future in zip(questions, futures, strict=True):
            # A done callback runs soon after the future is settled, and gets the future.
            future.add_done_callback(functools.partial(note_arrival, order, question))
        print(f"before: {[future.done() for future in futures]}")
        print(f"answers: {await futures[0]}, {await futures[1]}")
        try:
            await futures[2]
        except ArithmeticError as error:
            print(f"the third failed: {error}")
        print(f"in order of arrival: {order}")
        client.close()
        await client.closed


def measure_in_a_thread(report: Callable[[float], object]) -> None:
    """A library from the world of threads: it calls back from a thread of its own."""
    threading.Thread(target=lambda: report(21.5)).start()


async def callback_from_a_thread() -> None:
    """A future belongs to its loop's thread, so another thread has to ask the loop to settle it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[float] = loop.create_future()
    measure_in_a_thread(lambda value: loop.call_soon_threadsafe(future.set_result, value))
    print(f"the thermometer says {await future} degrees")

    # Futures of concurrent.futures are another kind. wrap_future makes one that can be awaited.
    with ThreadPoolExecutor(max_workers=1) as pool:
        print(f"wrapped: {await asyncio.wrap_future(pool.submit(pow, 2, 10))}")


async def main() -> None:
    """Show futures settled by a protocol, then by threads."""
    await many_questions_one_connection()
    await callback_from_a_thread()


if __name__ == "__main__":
    asyncio.run(main())
