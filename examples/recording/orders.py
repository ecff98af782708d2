"""A service that takes orders, with a fault: which of two customers gets the last ticket depends on two databases.

    python -m ferrio --record orders.rec --record-bytes examples/recording/orders.py
    python -m examples.recording.desk orders.rec

The first command stands for production: real sockets and threads, and each run may end in another way. The second one
repeats that run at the desk, as often as you like.
"""

import asyncio
import random
import time


class Oversold(Exception):
    """More tickets were sold than there are."""


class Shop:
    """One ticket, and customers who come by the network."""

    def __init__(self) -> None:
        self.tickets = 1
        self.sold: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sells a ticket to each customer as long as there are any."""
        customer = (await reader.readline()).decode().strip()
        if self.tickets:
            # The fault: while the payment is made, the ticket is still there for others.
            await asyncio.to_thread(pay)
            self.tickets -= 1
            self.sold.append(customer)
            writer.write(b"sold\n")
        else:
            writer.write(b"sold out\n")
        writer.close()


def pay() -> None:
    """Asks the bank, which takes its time."""
    time.sleep(random.random() / 100)


async def buy(port: int, customer: str) -> None:
    """A customer."""
    await asyncio.sleep(random.random() / 100)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{customer}\n".encode())
    await reader.readline()
    writer.close()


async def main() -> None:
    """A day of the shop."""
    shop = Shop()
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*(buy(port, customer) for customer in ("Ada", "Bob", "Cyd", "Dan")))
    server.close()
    if shop.tickets < 0:
        raise Oversold(f"{' and '.join(shop.sold)} have the last ticket")


if __name__ == "__main__":
    asyncio.run(main())
