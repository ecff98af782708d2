"""Makes a process run on ferrio, for `python -m ferrio`, and its children too if requested.

multiprocessing starts children by spawn or forkserver as `python -c CODE`, without the command line of their parent;
uvicorn starts its workers and reloaded servers by spawn. To make such children run on ferrio, ferrio prepends a
statement to CODE that does what the parent did. It is visible in their command line; no other interpreter reads an
environment variable or a file in site-packages because of it. The children of these children are covered in the same
way; children by fork inherit everything from their parent.

ferrio does not change other ways to start an interpreter, or children for which the program names an interpreter of its
own: ferrio may not be installed there.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from ferrio import _other_loops, _uvicorn
from ferrio._install import install

# The code of children that run the program's code; multiprocessing's resource tracker runs none of it.
_PROGRAMS = ("from multiprocessing.spawn import spawn_main", "from multiprocessing.forkserver import main")


def begin(*, children: bool = False, quiet: bool = False) -> None:
    """Makes all of asyncio ferrio's in this process, uvicorn's default loop included, and with `children` also in
    processes that multiprocessing starts. Without `quiet`, reports a loop that other code chooses."""
    install()
    _uvicorn.choose_ferrio()
    if not quiet:
        _other_loops.watch()
    if children:
        _cover_children(quiet)


def _cover_children(quiet: bool) -> None:
    """Replaces the function by which both methods start their interpreter; they look it up at each call."""
    from multiprocessing import util

    spawnv_passfds: Any = util.spawnv_passfds

    def spawnv_passfds_on_ferrio(path: str | bytes, args: Sequence[str | bytes], passfds: Sequence[int]) -> Any:
        return spawnv_passfds(path, _on_ferrio(path, args, quiet), passfds)

    util.spawnv_passfds = spawnv_passfds_on_ferrio  # type: ignore[assignment]


def _on_ferrio(path: str | bytes, args: Sequence[str | bytes], quiet: bool) -> Sequence[str | bytes]:
    """The command line of a child, with ferrio's statement before its code."""
    if os.fsdecode(path) != sys.executable or "-c" not in args:
        return args
    position = args.index("-c") + 1
    code = args[position]
    if not isinstance(code, str) or not any(program in code for program in _PROGRAMS):
        return args
    ours = f"from ferrio._processes import begin; begin(children=True, quiet={quiet}); "
    return [*args[:position], ours + code, *args[position + 1 :]]
