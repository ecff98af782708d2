"""An extension on ferrio-bridge refuses sub-interpreters, and serves the main one as if nothing had been."""

import sys

import pytest

from tests.support.subinterpreters import output, refused

REFUSED = refused("rust_extension")

RUNS = """
import asyncio, gc
import rust_extension

async def main():
    gate = rust_extension.Gate()
    task = gate.wait()
    await asyncio.sleep(0)
    gate.open_from_thread()
    await task
    return await rust_extension.slept(0.001, await rust_extension.ready(7))

for factory in (None, ferrio.new_event_loop):
    with asyncio.Runner(loop_factory=factory) as runner:
        print(runner.run(main()), flush=True)
gc.collect()
"""

LEGACY = "extensions that use ferrio-bridge work in the main interpreter only\n"
# From 3.12 on the interpreter itself asks what a module supports.
ISOLATED = "module rust_extension.rust_extension does not support loading in subinterpreters\n"
TEXTS = {"legacy": LEGACY, "isolated": ISOLATED if sys.version_info >= (3, 12) else LEGACY}


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
@pytest.mark.parametrize("before", ["", "import rust_extension"], ids=["first", "after the main interpreter"])
def test_import_in_a_subinterpreter_is_refused_and_harms_nobody(kind, before):
    program = f"{before}\nrun({REFUSED!r}, {kind!r})\nrun({REFUSED!r}, {kind!r})\n{RUNS}"
    assert output(program, "-X", "dev") == TEXTS[kind] * 4 + "7\n7\n"
