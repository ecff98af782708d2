"""Makes the manual's pictures from a real run, into target/pictures, from where docs/hooks.py takes them.

    python scripts/make_pictures.py

A program with a deadlock and a callback that blocks is started and looked at: `ferrio top` and `ferrio why` as a
terminal shows them, by rich, and the console by a headless Chromium. A picture for which the tool is missing is left
out, which is said; the page then does without it.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.chromium import Browser, executable  # noqa: E402 - the path comes first

PICTURES = ROOT / "target" / "pictures"

PROGRAM = """
import asyncio, time

async def transfer(source, target):
    async with source:
        await asyncio.sleep(0.01)
        async with target:
            ...

async def serve(queue, database):
    while True:
        await queue.get()
        async with database:
            await asyncio.sleep(0.05)

def parse_report():
    time.sleep(0.15)

async def report(savings):
    async with savings:
        ...

async def watch_prices():
    while True:
        parse_report()
        await asyncio.sleep(2)

async def main():
    checking, savings = asyncio.Lock(), asyncio.Lock()
    queue, database = asyncio.Queue(), asyncio.Semaphore(2)
    async with asyncio.TaskGroup() as group:
        group.create_task(transfer(checking, savings), name="transfer to savings")
        group.create_task(transfer(savings, checking), name="transfer to checking")
        group.create_task(report(savings), name="monthly report")
        group.create_task(watch_prices(), name="prices")
        for number in range(6):
            group.create_task(serve(queue, database), name=f"worker {number}")
        print("ready", flush=True)
        while True:
            queue.put_nowait(None)
            await asyncio.sleep(0.03)

asyncio.run(main())
"""


@contextlib.contextmanager
def running(*command: str, directory: str | None = None) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A command until the block ends, with its first line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=directory)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def terminal(name: str, *words: str) -> None:
    """What a command prints, as a terminal shows it."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        print(f"{name}.svg is left out: rich is not installed")
        return
    shown = subprocess.run(
        [sys.executable, "-m", "ferrio", *words], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=132, file=nowhere)
        for line in shown.splitlines():
            red = "DEADLOCK" in line or "deadlock" in line
            console.print(Text(line.rstrip(), style="bold red" if red else ""), overflow="ellipsis", no_wrap=True)
    path = PICTURES / f"{name}.svg"
    # The font comes from the reader's machine: the manual loads nothing from elsewhere.
    text = console.export_svg(title=f"ferrio {words[0]}")
    path.write_text(re.sub(r"@font-face\s*\{.*?\}", "", text, flags=re.DOTALL), encoding="utf-8")


def pages(pid: int) -> None:
    """The console's views."""
    if executable() is None:
        print("console-*.png are left out: no Chromium is installed")
        return
    command = [sys.executable, "-m", "ferrio", "console", str(pid), "--json", "--interval", "0.5"]
    with running(*command) as (_, line), Browser(1280, 800) as browser:
        browser.resize(1280, 800, scale=2)
        browser.prefer("light")
        browser.open(json.loads(line)["address"])
        browser.until("document.querySelector('#liveness')?.textContent === 'live'")
        browser.until("document.querySelectorAll('.chart').length === 2")
        # Curves of a few seconds.
        drawn = "document.querySelector('.chart .line').getAttribute('d').split('L').length > 12"
        browser.until(drawn)
        browser.picture(PICTURES / "console-overview.png")
        browser.run("location.hash = 'waits'")
        browser.until("document.querySelectorAll('.edge.red').length === 4")
        browser.run("document.querySelector('.node.task.red').dispatchEvent(new Event('click', {bubbles: true}))")
        browser.until("document.querySelector('#detail .stack') !== null")
        browser.run("document.activeElement.blur()")
        browser.picture(PICTURES / "console-waits.png")


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "bank.py")
        program.write_text(textwrap.dedent(PROGRAM))
        with running(sys.executable, "-m", "ferrio", "run", "--inspect", program.name, directory=directory) as (
            process,
            _,
        ):
            terminal("top", "top", "--once", "--rows", "12", str(process.pid))
            terminal("why", "why", str(process.pid))
            pages(process.pid)
    print("pictures:", ", ".join(sorted(each.name for each in PICTURES.iterdir())) or "none")


if __name__ == "__main__":
    main()
