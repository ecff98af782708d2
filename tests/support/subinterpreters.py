"""Programs that run code in interpreters other than the main one."""

import subprocess
import sys

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


def refused(module: str) -> str:
    """Code that imports a module twice, and prints why it is refused."""
    return f"""
for _ in range(2):
    try:
        import {module}
    except ImportError as error:
        print(error, flush=True)
"""


def output(program: str, *options: str) -> str:
    """What a program prints that may call `run(code, kind)`; it has to end well and without a word on stderr."""
    command = [sys.executable, *options, "-c", PRELUDE + program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout
