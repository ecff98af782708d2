"""Marks in the measured process: where counting starts, and where what was counted so far is put aside."""

import ctypes
import gc
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).with_name("marks.c")


def compiled(directory: pathlib.Path) -> pathlib.Path:
    """The library of `marks.c` in `directory`, made anew if the source is younger."""
    library = directory / f"marks-{os.uname().machine}.so"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        directory.mkdir(parents=True, exist_ok=True)
        # Made under another name, so that two runs side by side never load half a file.
        unfinished = library.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(unfinished), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"marks.c does not compile; are valgrind's headers installed?\n{done.stderr}")
        unfinished.rename(library)
    return library


class Marks:
    """Callgrind's counters, of the process that this is made in."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        if not self._library.running_on_valgrind():
            raise SystemExit("this process does not run under callgrind")

    def start(self) -> None:
        """Count from here on. What the start of the process left is no part of later collections."""
        gc.collect()
        gc.freeze()
        self._library.start()

    def dump(self) -> None:
        """Put aside what was counted since the last mark."""
        self._library.dump()
