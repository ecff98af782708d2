"""Programs on anyio whose output is compared: on stock asyncio, and on ferrio with its parts in anyio's backend."""

import difflib
import functools
import os
import re
import textwrap
from pathlib import Path

from tests.support.prepared_python import Prepared

ROOT = Path(__file__).parents[2]

PREAMBLE = """
import asyncio, contextlib, gc, math, sys, weakref
{install}
import anyio, anyio.abc, anyio.lowlevel
from anyio import CancelScope, create_task_group, fail_after, move_on_after
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled


async def show_result(awaitable):
    try:
        print("result", await awaitable)
    except BaseException as error:
        print(kind(error))


def kind(error):
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}({error.message}: {[kind(inner) for inner in error.exceptions]})"
    return f"{type(error).__name__}({', '.join(map(str, error.args))})"


"""


@functools.cache
def prepared(native: bool) -> Prepared:
    """Runs what follows the preamble."""
    install = "import ferrio; ferrio.install()" if native else ""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python"), "PYTHONHASHSEED": "0"}
    return Prepared(PREAMBLE.replace("{install}", install), ["-X", "dev"], environment)


def outcome(program: str, *, native: bool, backend_options: str = "{}") -> str:
    """What a program prints whose `main` runs under `anyio.run`, without addresses, paths and line numbers."""
    code = textwrap.dedent(program) + f"\nanyio.run(main, backend_options={backend_options})\n"
    if native:
        code += "assert ferrio.anyio_status().startswith('native'), ferrio.anyio_status()\n"
    run = prepared(native).run(code)
    text = f"{run.status}\n{run.output}\n{run.errors}"
    text = re.sub(r"^Executing <.* took .* seconds\n", "", text, flags=re.MULTILINE)  # a busy machine
    text = re.sub(r"0x[0-9a-f]+|(?<=cancel scope )[0-9a-f]+", "ADDRESS", text)
    # Reprs of tasks name the place where a native coroutine or callback would be in asyncio's files.
    return re.sub(r"(running|created|wait_for=|cb=)[^;>]*", r"\1", text)


def assert_same(program: str, backend_options: str = "{}") -> str:
    stock = outcome(program, native=False, backend_options=backend_options)
    ours = outcome(program, native=True, backend_options=backend_options)
    assert ours == stock, "\n".join(
        difflib.unified_diff(stock.splitlines(), ours.splitlines(), "stock", "ours", "", "", 1, "")
    )
    return stock
