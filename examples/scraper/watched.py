"""A crawl, and what `ferrio top` shows of it from outside while it runs.

    python -m examples.scraper.watched

The crawl runs under `ferrio run --inspect`. On a terminal of your own, `ferrio top` without `--once` is a live screen.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from .embedded import ROOT, embedded_site

# How long the crawl has to begin, in seconds.
PATIENCE = 30.0


class NothingToSeeError(Exception):
    """The crawl could not be watched."""


def watch(pages: int) -> tuple[str, int]:
    """The still that `ferrio top` prints, and how many tasks the crawl had; raises NothingToSeeError."""
    with embedded_site(pages, seed=1) as site, tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"XDG_RUNTIME_DIR": directory}
        crawl = [sys.executable, "-m", "ferrio", "run", "--inspect", "-m", "examples.scraper"]
        options = [f"--url={site.url}", "--quiet", "--concurrency=50", "--timeout=30", f"--max-pages={sys.maxsize}"]
        with subprocess.Popen([*crawl, *options], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:

            def top(*how: str) -> str:
                command = [sys.executable, "-m", "ferrio", "top", str(process.pid), "--interval=0.2", *how]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
                return done.stdout if done.returncode == 0 else ""

            try:
                until = time.monotonic() + PATIENCE
                while time.monotonic() < until and process.poll() is None:
                    sample = json.loads(top("--json") or '{"rows": []}')
                    if len(sample["rows"]) > 1 and (still := top("--once", "--groups", "--sort=count", "--rows=8")):
                        return still, len(sample["rows"])
            finally:
                process.kill()
    raise NothingToSeeError("the crawl ended before `ferrio top` saw it")


def main() -> int:
    """Crawl a site, and show the still."""
    try:
        still, _ = watch(pages=20_000)
    except NothingToSeeError as failure:
        print(failure)
        return 1
    print("$ ferrio top --groups --sort=count")
    print(still, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
