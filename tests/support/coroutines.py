"""Coroutines that end after a given number of turns of the loop, with a value or with an exception."""

import asyncio


async def returning(value, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def failing(error, turns=0):
    await returning(None, turns)
    raise error
