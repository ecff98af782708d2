"""Blocking work in threads: calls that would hold up the loop go to a thread, and are awaited like anything else.

Shown here: what a blocking call does to everybody else, `asyncio.to_thread`, `run_in_executor` with a pool of one's
own, exceptions that come back from a thread, and context variables that go along.

The program checks passwords. Hashing one is slow on purpose, and a server has more to do meanwhile.
"""

import asyncio
import contextlib
import contextvars
import hashlib
import hmac
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

# Who is being served. Every task has its own value.
client: contextvars.ContextVar[str] = contextvars.ContextVar("client", default="nobody")


def hash_password(password: str, salt: str) -> str:
    """A plain function that keeps a processor busy. It lets other threads run meanwhile, as much of C code does."""
    if not password:
        raise ValueError("the password is empty")
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 150_000).hex()


def hash_for_client(password: str) -> str:
    """Hash with a salt that depends on whose turn it is."""
    return hash_password(password, salt=client.get())


class Heartbeat:
    """Counts how often the loop came round: the pulse of everything else that the server does."""

    def __init__(self) -> None:
        self.beats = 0

    async def beat(self) -> None:
        """Beat for ever."""
        while True:
            await asyncio.sleep(0.001)
            self.beats += 1


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[Heartbeat]:
    """A heart that beats while the block runs."""
    heart = Heartbeat()
    task = asyncio.create_task(heart.beat())
    await asyncio.sleep(0)
    try:
        yield heart
    finally:
        task.cancel()


async def log_in(name: str, password: str) -> str:
    """Serve one client. The thread sees this task's `client`, because to_thread takes the context along."""
    client.set(name)
    digest = await asyncio.to_thread(hash_for_client, password)
    known = hmac.compare_digest(digest, hash_password(password, salt=name))
    return f"{name} {'known' if known else 'unknown'}"


async def main() -> None:
    """Compare the wrong way with the right ones."""
    async with heartbeat() as heart:
        # The wrong way: the call blocks the loop's own thread, so nothing else happens until it is over.
        digest = hash_password("secret", salt="pepper")
        print(f"called directly: {digest[:16]}, the heart beat: {heart.beats > 0}")

    async with heartbeat() as heart:
        # The right way: another thread computes, the loop goes on, await brings the result back.
        digest = await asyncio.to_thread(hash_password, "secret", salt="pepper")
        print(f"in a thread:     {digest[:16]}, the heart beat: {heart.beats > 0}")

    # An exception in the thread comes out of the await.
    try:
        await asyncio.to_thread(hash_password, "", salt="pepper")
    except ValueError as error:
        print(f"failed in a thread: {error}")

    # Several clients at once, each with its own context.
    print(f"log-ins: {await asyncio.gather(log_in('ann', 'tulip'), log_in('bob', 'rose'))}")

    # A pool of one's own limits how many threads may work, and names them. run_in_executor takes only positional
    # arguments, and unlike to_thread it leaves the context behind.
    loop = asyncio.get_running_loop()
    client.set("ann")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hash") as pool:
        with_context, without = (
            await asyncio.to_thread(client.get),
            await loop.run_in_executor(pool, client.get),
        )
        print(f"context: to_thread has {with_context}, run_in_executor has {without}")


if __name__ == "__main__":
    asyncio.run(main())
