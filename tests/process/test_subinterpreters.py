"""In interpreters other than the main one: ferrio refuses to be imported, and asyncio works."""

import sys

import pytest

from tests.support.subinterpreters import output, refused

REFUSED = refused("ferrio")

RUNS = """
import asyncio

async def main():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__

print(asyncio.run(main()), flush=True)
"""


# An interpreter with a lock of its own that has run asyncio ends the process on 3.12, whether ferrio is there or not.
RUNNING = [
    "legacy",
    pytest.param("isolated", marks=pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="asyncio crashes there")),
]


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_import_elsewhere_raises_import_error(kind: str) -> None:
    line = "ferrio works in the main interpreter only; use asyncio in the others\n"
    assert output(f"run({REFUSED!r}, {kind!r})") == line * 2


@pytest.mark.parametrize("kind", RUNNING)
@pytest.mark.parametrize("before", ["", "ferrio.install();"], ids=["imported", "installed"])
def test_asyncio_works_elsewhere_and_ferrio_afterwards(kind: str, before: str) -> None:
    after = "import asyncio; ferrio.run(asyncio.sleep(0)); print('main')"
    assert output(f"{before}run({RUNS!r}, {kind!r}); {after}") == "asyncio.unix_events\nmain\n"


WHOSE = """
import asyncio, sys

async def main():
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.001))
    made = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Queue(), asyncio.Lock(), asyncio.StreamReader()
    return sorted({type(each).__module__ for each in made})

print(asyncio.run(main()), [name for name in sys.modules if "ferrio" in name], flush=True)
"""
STOCK = "['_asyncio', 'asyncio.locks', 'asyncio.queues', 'asyncio.streams', 'asyncio.unix_events'] []\n"


@pytest.mark.parametrize("kind", RUNNING)
@pytest.mark.parametrize("before", ["", REFUSED], ids=["untouched", "after a refusal"])
def test_all_of_asyncio_is_its_own_elsewhere(kind: str, before: str) -> None:
    assert output(f"ferrio.install(); run({before + WHOSE!r}, {kind!r})").endswith(STOCK)


# Asyncio's own, before 3.13: an interpreter that ran it in another thread cannot be destroyed.
@pytest.mark.skipif(sys.version_info < (3, 13), reason="hangs on asyncio as well")
@pytest.mark.parametrize("kind", RUNNING)
def test_another_thread_may_run_it(kind: str) -> None:
    thread = f"import threading; thread = threading.Thread(target=run, args=({REFUSED + WHOSE!r}, {kind!r}))"
    assert output(f"ferrio.install(); {thread}; thread.start(); thread.join()").endswith(STOCK)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="since 3.14")
def test_interpreters_of_the_standard_library_refuse_it_and_run_asyncio() -> None:
    program = f"""
from concurrent import interpreters
ferrio.install()
interpreter = interpreters.create()
interpreter.exec({REFUSED + WHOSE!r})
interpreter.close()
"""
    assert output(program).endswith(STOCK)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="since 3.14")
def test_a_pool_of_interpreters_works_for_a_loop_of_ferrio() -> None:
    program = """
import asyncio
from concurrent.futures import InterpreterPoolExecutor
ferrio.install()

async def main():
    loop = asyncio.get_running_loop()
    with InterpreterPoolExecutor(2) as pool:
        return type(loop).__module__, await asyncio.gather(*(loop.run_in_executor(pool, abs, -n) for n in range(4)))

print(asyncio.run(main()))
"""
    assert output(program) == "('ferrio', [0, 1, 2, 3])\n"
