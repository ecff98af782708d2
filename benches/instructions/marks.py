"""Marks in the measured process: where counting starts, and where the counts so far are dumped."""

import ctypes
import gc
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).with_name("marks.c")


def compiled(directory: pathlib.Path) -> pathlib.Path:
    """The library of `marks.c` in `directory`, rebuilt if the source is newer."""
    library = directory / f"marks-{os.uname().machine}.so"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        directory.mkdir(parents=True, exist_ok=True)
        # Built under another name, so that concurrent runs never load an incomplete file.
        unfinished = library.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(unfinished), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"marks.c does not compile; are valgrind's headers installed?\n{done.stderr}")
        unfinished.rename(library)
    return library


class Marks:
    """Callgrind's counters of the current process."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        if not self._library.running_on_valgrind():
            raise SystemExit("this process does not run under callgrind")

    def start(self) -> None:
        """Counts from here on, and collects garbage first, so that garbage of the start-up does not count later."""
        gc.collect()
        gc.freeze()
        self._library.start()

    def dump(self) -> None:
        """Dumps the counts since the last mark."""
        self._library.dump()
