"""In interpreters other than the main one: ferrio refuses to be imported, and asyncio works."""

import subprocess
import sys

import pytest

PRELUDE = """
import ferrio
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def run(code, kind):
    if hasattr(interpreters, "new_config"):
        interpreter = interpreters.create(kind)
    else:
        interpreter = interpreters.create(isolated=kind == "isolated")
    failure = interpreters.run_string(interpreter, code)
    assert failure is None, failure
    interpreters.destroy(interpreter)
"""

REFUSED = """
for _ in range(2):
    try:
        import ferrio
    except ImportError as error:
        print(error, flush=True)
"""

RUNS = """
import asyncio

async def main():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__

print(asyncio.run(main()), flush=True)
"""


def output(program: str) -> str:
    ran = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_import_elsewhere_raises_import_error(kind: str) -> None:
    line = "ferrio works in the main interpreter only; use asyncio in the others\n"
    assert output(f"run({REFUSED!r}, {kind!r})") == line * 2


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
@pytest.mark.parametrize("before", ["", "ferrio.install();"], ids=["imported", "installed"])
def test_asyncio_works_elsewhere_and_ferrio_afterwards(kind: str, before: str) -> None:
    after = "import asyncio; ferrio.run(asyncio.sleep(0)); print('main')"
    assert output(f"{before}run({RUNS!r}, {kind!r}); {after}") == "asyncio.unix_events\nmain\n"
