"""Long chains of objects are freed without recursion; awaits nested too deeply raise RecursionError."""

import inspect
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

import ferrio
from ferrio._natives import NATIVES
from tests.support.chains import CHAINS, OTHERS

CRATES = Path(__file__).parents[2] / "crates"
LENGTH = 1_000_000
HANDLES = {"Handle", "TimerHandle"}


def outcome(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-W", "ignore", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return process.returncode, process.stdout + process.stderr[-2000:]


def test_each_exported_class_has_a_chain():
    classes = {name for name in {*NATIVES, *HANDLES} if inspect.isclass(getattr(ferrio, name))}
    assert classes - OTHERS <= {name.partition(",")[0] for name in CHAINS}


def test_each_class_of_the_sources_is_freed_in_bounded_depth():
    # Counted: asyncio and anyio have classes of the same name.
    declared, marked = Counter[str](), 0
    for source in CRATES.glob("*/src/**/*.rs"):
        if source.relative_to(CRATES).parts[0] == "ferrio-bridge":
            continue  # belongs to other extensions; tests/bridge/test_depth.py is about its classes
        text = source.read_text()
        marked += len(re.findall(r"^\s*#\[pyclass\b", text, re.MULTILINE))
        # Other attributes and comments may stand between the mark and the class.
        declared.update(re.findall(r"#\[pyclass\b[^\n]*\n(?:\s*(?:#|//)[^\n]*\n)*[^\n]*struct (\w+)", text))
    assert declared.total() == marked
    bound = re.findall(r"(\w+),\n", (CRATES / "ferrio-python/src/bounded_dealloc.rs").read_text())
    bound += re.findall(r"bound_depth::<(?:\w+::)*(\w+)>", (CRATES / "ferrio-cpython/src/lib.rs").read_text())
    assert declared
    assert declared <= Counter(bound)


@pytest.mark.parametrize("name", CHAINS)
def test_a_long_chain_is_freed(name):
    assert outcome("-m", "tests.support.chains", str(LENGTH), name) == (0, f"{name}\ndone\n")


def test_a_dropped_chain_is_gone_when_the_drop_returns():
    """Nothing of a chain is left for later, and its end is freed though a finalizer raised on the way."""
    program = """
        import sys, weakref
        import ferrio

        class Loud(ferrio.Queue):
            def __del__(self):
                raise ValueError

        class End:
            pass

        sys.unraisablehook = lambda _: None
        end = End()
        seen = weakref.ref(end)
        chain = end
        del end
        for number in range(10_000):
            following = Loud() if number % 100 == 0 else ferrio.Queue()
            following.put_nowait(chain)
            chain = following
        del chain, following
        print(seen() is None)
    """
    assert outcome("-c", textwrap.dedent(program)) == (0, "True\n")


def test_what_comes_back_to_life_deep_in_a_chain_lives_on():
    program = """
        import gc
        import ferrio

        class Back(ferrio.Future):
            def __del__(self):
                kept.append(self)

        kept = []
        loop = ferrio.new_event_loop()
        chain = Back(loop=loop)
        for _ in range(10_000):
            following = ferrio.Future(loop=loop)
            following.set_result(chain)
            chain = following
        del chain, following
        assert len(kept) == 1 and gc.is_tracked(kept[0])
        kept[0].set_result(1)
        print(kept[0].result())
        loop.close()
    """
    assert outcome("-c", textwrap.dedent(program)) == (0, "1\n")


NESTS = {
    "wait_for": "nested = asyncio.wait_for(nested, 100)",
    "Python between": "nested = between(asyncio.wait_for(nested, 100))",
    "shield": "nested = asyncio.shield(nested)",
    "gather": "nested = asyncio.gather(nested)",
    "task": "nested = asyncio.ensure_future(between(nested))",
}
NEST = """
    import asyncio, sys, threading

    sys.setrecursionlimit({limit})

    async def between(inner):
        return await inner

    async def main():
        nested = asyncio.sleep({delay})
        for _ in range({depth}):
            {link}
        if {delay}:
            task = asyncio.ensure_future(nested) if not isinstance(nested, asyncio.Future) else nested
            for _ in range({depth} + 5):
                await asyncio.sleep(0)
            task.cancel()
            nested = task
        await nested

    def run():
        try:
            asyncio.run(main())
        except RecursionError:
            print("RecursionError")
        except asyncio.CancelledError:
            print("CancelledError")
        else:
            print("passed")

    if {stack}:
        threading.stack_size({stack})
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    else:
        run()
"""


def nest(kind: str, link: str, depth: int, *, delay: int = 0, stack: int = 0, limit: int = 1_000) -> tuple[int, str]:
    program = textwrap.dedent(NEST).format(link=link, depth=depth, delay=delay, stack=stack, limit=limit)
    if kind == "ferrio":
        program = program.replace("import asyncio,", "import ferrio as asyncio,")
    command = [sys.executable, "-W", "ignore", "-c", program]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return process.returncode, process.stdout


@pytest.mark.parametrize("link", NESTS.values(), ids=NESTS)
@pytest.mark.parametrize("delay", [0, 3600], ids=["completes", "is_cancelled"])
def test_a_few_awaits_in_one_another_do_as_with_asyncio(link, delay):
    assert nest("ferrio", link, 100, delay=delay) == nest("asyncio", link, 100, delay=delay)


@pytest.mark.parametrize("link", [NESTS["wait_for"], NESTS["Python between"]], ids=["wait_for", "Python between"])
@pytest.mark.parametrize("depth", [300, 1_500, 20_000])
def test_coroutines_in_one_another_do_as_with_asyncio(link, depth):
    assert nest("ferrio", link, depth) == nest("asyncio", link, depth)


@pytest.mark.parametrize("link", NESTS.values(), ids=NESTS)
@pytest.mark.parametrize("limit", [1_000, 1_000_000])
def test_a_small_stack_is_not_overrun(link, limit):
    status, output = nest("ferrio", link, 3_000, stack=256 << 10, limit=limit)
    assert status == 0
    assert output in {"RecursionError\n", "passed\n"}
