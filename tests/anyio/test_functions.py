"""anyio's functions, and what makes, starts and closes its objects, on ferrio compared with anyio's own."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("anyio")

from tests.anyio import function_programs
from tests.anyio.primitive_programs import TRACE
from tests.anyio.programs import assert_same

PROGRAMS = function_programs.PROGRAMS
# The names that a program takes at its beginning are anyio's own, and those that it takes in the end are ferrio's.
LATE = """
import re
import anyio._backends._asyncio
from anyio import CancelScope, create_task_group, fail_after, move_on_after
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_functions_do_as_anyios(name):
    printed = assert_same(LATE + TRACE + textwrap.dedent(PROGRAMS[name]))
    assert printed.startswith("0\n"), printed


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_functions_that_were_taken_during_install_serve_afterwards():
    printed = run(
        """
        import asyncio, ferrio, anyio, anyio.lowlevel, anyio._backends._asyncio
        ferrio.install()
        from anyio import Event, create_memory_object_stream, create_task_group, current_time, fail_after
        from anyio import move_on_after, sleep
        from anyio.lowlevel import checkpoint
        async def main():
            with fail_after(1), move_on_after(1) as scope:
                await checkpoint()
                await sleep(0)
            print(type(scope) is anyio._backends._asyncio.CancelScope, current_time() > 0, type(Event()).__module__)
            async with create_task_group() as group:
                print(isinstance(group, anyio._backends._asyncio.TaskGroup))
            with create_memory_object_stream(1)[0], anyio.create_memory_object_stream(1)[1]:
                pass
        print(sleep is anyio.sleep, type(sleep).__name__)
        ferrio.uninstall()
        print(sleep is anyio.sleep)
        import warnings
        warnings.simplefilter("ignore")
        asyncio.run(main())
        """
    )
    assert printed == "True coroutine_function\nFalse\nTrue True anyio._backends._asyncio\nTrue\n"


def test_a_part_that_other_code_replaced_is_used_by_the_functions():
    printed = run(
        """
        import asyncio, ferrio, anyio, anyio.lowlevel
        from anyio._backends._asyncio import AsyncIOBackend
        ferrio.install()
        original = AsyncIOBackend.checkpoint
        async def theirs():
            print("theirs")
        async def main():
            AsyncIOBackend.checkpoint = theirs
            await anyio.lowlevel.checkpoint()
            AsyncIOBackend.create_cancel_scope = lambda **keywords: print(sorted(keywords))
            anyio.move_on_after(1)
        asyncio.run(main())
        """
    )
    assert printed == "theirs\n['deadline', 'shield']\n"
