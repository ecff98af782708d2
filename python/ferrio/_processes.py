"""Makes a process one that runs on ferrio, as `python -m ferrio` promises it, and on demand its children too.

multiprocessing starts the children of its methods spawn and forkserver, and uvicorn its workers and reloaded servers
by the former, as `python -c CODE`: nothing of the command line of their parent comes with them. So where children are
to run on ferrio, CODE gets one more statement before it that does here what the parent did. It stands in their command
line for all to see; no environment variable and no file in site-packages is read by any other interpreter. What these
children start themselves is covered alike; children of fork have it all from their parent.

Other ways to start an interpreter are left alone, and so are children for which the program names an interpreter of
its own: ferrio may not be installed there.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from ferrio import _other_loops, _uvicorn
from ferrio._install import install

# The code that multiprocessing gives to a child that is to run the program's; its resource tracker runs none.
_PROGRAMS = ("from multiprocessing.spawn import spawn_main", "from multiprocessing.forkserver import main")


def begin(*, children: bool = False, quiet: bool = False) -> None:
    """All of asyncio is ferrio's in this process; also what uvicorn chooses itself, and with `children` what
    multiprocessing starts. Without `quiet`, a loop that somebody else chooses is spoken of."""
    install()
    _uvicorn.choose_ferrio()
    if not quiet:
        _other_loops.watch()
    if children:
        _cover_children(quiet)


def _cover_children(quiet: bool) -> None:
    """Both methods start their interpreter by this function, found in its module at each call."""
    from multiprocessing import util

    spawnv_passfds: Any = util.spawnv_passfds

    def spawnv_passfds_on_ferrio(path: str | bytes, args: Sequence[str | bytes], passfds: Sequence[int]) -> Any:
        return spawnv_passfds(path, _on_ferrio(path, args, quiet), passfds)

    util.spawnv_passfds = spawnv_passfds_on_ferrio  # type: ignore[assignment]


def _on_ferrio(path: str | bytes, args: Sequence[str | bytes], quiet: bool) -> Sequence[str | bytes]:
    """The command line of a child, with our statement before its code."""
    if os.fsdecode(path) != sys.executable or "-c" not in args:
        return args
    position = args.index("-c") + 1
    code = args[position]
    if not isinstance(code, str) or not any(program in code for program in _PROGRAMS):
        return args
    ours = f"from ferrio._processes import begin; begin(children=True, quiet={quiet}); "
    return [*args[:position], ours + code, *args[position + 1 :]]
