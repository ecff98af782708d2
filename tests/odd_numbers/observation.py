"""Calls one operation with one value on a fresh loop, and returns everything that can be observed of it."""

import asyncio
import contextlib
import gc
import logging
import re
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial

import ferrio
from tests.odd_numbers.values import VALUES
from tests.random_programs.observation import installed
from tests.support.differential import masked

MODES: dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], Callable]] = {
    "stock": (asyncio.SelectorEventLoop, contextlib.nullcontext),
    "loop": (ferrio.new_event_loop, contextlib.nullcontext),
    "whole": (ferrio.new_event_loop, installed),
    "foreign": (asyncio.SelectorEventLoop, installed),
}
CLASS = re.compile(r"\b(asyncio\.(\w+\.)?|ferrio\.(_ferrio\.)?)")
# How many turns an operation may take that waits for nothing but the loop.
TURNS = 8
OPERATIONS: dict[str, Callable[[object], Awaitable]] = {}


def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def operation(function: Callable) -> Callable:
    """Registers an operation on a value; it returns what it observed, or raises."""
    OPERATIONS[function.__name__] = function
    return function


def shown(what: object) -> str:
    return CLASS.sub("", masked(what if isinstance(what, str) else repr(what)))


def shown_error(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {shown(str(error))}"


def outcome(call: Callable[[], object]) -> str:
    try:
        return shown(call())
    except Exception as error:
        return shown_error(error)


async def ended(awaitable: Callable[[], Awaitable]) -> str:
    """The outcome of an awaitable that ends by itself."""
    try:
        return shown(await awaitable())
    except Exception as error:
        return shown_error(error)


async def soon(make: Callable[[], Awaitable]) -> str:
    """The outcome of an awaitable within a few turns, or "waits"."""

    async def run():
        return await make()

    task = asyncio.get_running_loop().create_task(run())
    await turns()
    if task.done():
        error = task.exception()
        return shown_error(error) if error else shown(task.result())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return "waits"


async def with_each(names: Iterable[str], value: object, how: Callable, make: Callable) -> list:
    """The outcomes of `make`, with each of these parameters in turn set to the value."""
    return [(name, await how(partial(make, **{name: value}))) for name in names]


@contextlib.asynccontextmanager
async def put_down(transport: asyncio.BaseTransport) -> AsyncIterator:
    """A transport that is aborted afterwards, whatever its state."""
    try:
        yield transport
    finally:
        transport.abort()
        await turns()


async def turns(count: int = TURNS) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def observe(name: str, value: Callable[[], object], mode: str) -> object:
    factory, in_place = MODES[mode]
    with in_place(), quiet() as said:
        made = factory()
        made.set_exception_handler(lambda _loop, context: said.extend(handled(context)))
        try:
            seen = made.run_until_complete(OPERATIONS[name](value()))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            seen = f"raised {shown_error(error)}"
        finally:
            put_away(made)
    return [seen, *said]


def handled(context: dict) -> list[str]:
    error = context.get("exception")
    where = context.get("message", "").partition("(")[0].replace("SSLProtocol", "TlsProtocol")
    if "_AsCompletedIterator" in where:
        return []  # asyncio's own object is called before it is initialized
    return [f"handler: {where} {shown_error(error) if error else ''}"]


def put_away(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(Exception):
        loop.set_task_factory(None)
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


@contextlib.contextmanager
def quiet():
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda _unraisable: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield []
            gc.collect(0)
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)


def table(name: str, mode: str) -> dict[str, object]:
    return {shown: observe(name, value, mode) for shown, value in VALUES.items()}
