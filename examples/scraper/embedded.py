"""The embedded site, started in a process of its own: it takes another processor than the crawler does."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class EmbeddedSite:
    """The other process, and the pipes to it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = self._line()

    def reset(self) -> None:
        """Make the site forget all visits."""
        assert self._process.stdin is not None
        self._process.stdin.write("reset\n")
        self._process.stdin.flush()
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline().strip()):
            raise RuntimeError(f"the embedded site ended with status {self._process.wait()}")
        return line


@contextlib.contextmanager
def embedded_site(pages: int, seed: int) -> Iterator[EmbeddedSite]:
    """Run the site while the block runs."""
    command = [sys.executable, "-m", "examples.scraper.site", f"--pages={pages}", f"--seed={seed}"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # so that Ctrl-C reaches the crawler alone
    ) as process:
        # Leaving the `with` closes the site's input, which ends it, and waits for that.
        yield EmbeddedSite(process)
