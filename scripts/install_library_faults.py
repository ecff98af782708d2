"""Installs the releases that `make library-faults` explores, each into a folder of its own below a given one."""

import subprocess
import sys
from pathlib import Path

# Which release a folder holds, by its name.
RELEASES = {
    "redis-4.5.1": "redis==4.5.1",
    "redis-4.5.3": "redis==4.5.3",
    "redis-4.5.4": "redis==4.5.4",
    "redis-4.5.5": "redis==4.5.5",
    "httpcore-1.0.2": "httpcore[asyncio]==1.0.2",
    "httpcore-1.0.3": "httpcore[asyncio]==1.0.3",
    "anyio-4.3.0": "anyio==4.3.0",
    "anyio-4.4.0": "anyio==4.4.0",
    "anyio-4.12.0": "anyio==4.12.0",
    "anyio-4.13.0": "anyio==4.13.0",
    "async-timeout-4.0.3": "async-timeout==4.0.3",
    "async-timeout-5.0.1": "async-timeout==5.0.1",
    "aiohttp-3.14.5": "aiohttp==3.14.5",
}


def main() -> None:
    """Install what is missing."""
    folder = Path(sys.argv[1])
    for name, requirement in RELEASES.items():
        target = folder / name
        if not target.is_dir():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), requirement]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
