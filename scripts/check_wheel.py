"""Checks a wheel: tag, contents, symbols, and that a fresh environment can install it and run a program.

    python scripts/check_wheel.py dist/ferrio-*.whl

Prints which C library the wheel needs: the newest symbol version that the extension uses, which the manylinux tag has
to allow. It downloads nothing, because ferrio depends on no other package.
"""

import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

WANTED = (
    *("ferrio/__init__.py", "ferrio/__init__.pyi", "ferrio/_ferrio.pyi", "ferrio/__main__.py", "ferrio/py.typed"),
    *(
        f"ferrio/inspect/_console/page/{name}"
        for name in ("index.html", "base.css", "views.css", "main.js", "icon.svg")
    ),
)
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT")
SYMBOL_TABLE = 2  # SHT_SYMTAB; the dynamic linker's symbols are in another section

PROGRAM = """
import asyncio, importlib.metadata, sys, ferrio

async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\\n")
        assert await reader.read() == b"hello\\n"
        writer.close()
        await writer.wait_closed()
    return type(asyncio.get_running_loop()).__module__

assert ferrio.run(main()) == "ferrio"
assert ferrio.__version__ == importlib.metadata.version("ferrio")
assert sys.prefix in ferrio.__file__
"""


def section_kinds(library: bytes) -> set[int]:
    """The kinds of the sections of a 64-bit little-endian ELF file."""
    start = int.from_bytes(library[40:48], "little")
    size, count = (int.from_bytes(library[at : at + 2], "little") for at in (58, 60))
    return {int.from_bytes(library[at + 4 : at + 8], "little") for at in range(start, start + size * count, size)}


def needed_glibc(library: bytes) -> tuple[int, int]:
    """The newest version of the GNU C library from which the extension uses a symbol."""
    found = [(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)]
    return max(found, default=(0, 0))


def allowed_glibc(name: str) -> tuple[int, int] | None:
    """The version that the manylinux tag promises to need."""
    tag = re.search(r"manylinux_(\d+)_(\d+)_", name)
    return (int(tag[1]), int(tag[2])) if tag else None


def faults(wheel: Path) -> Iterator[str]:
    """Errors in the wheel's contents."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        yield from (f"{wanted} is missing" for wanted in WANTED if wanted not in names)
        for licence in LICENCES:
            found = [name for name in names if name.endswith(f".dist-info/licenses/{licence}")]
            if not found or not archive.read(found[0]).strip():
                yield f"{licence} is missing"
        strange = [
            name for name in names if not re.match(r"ferrio(-[^/]*\.dist-info)?/", name) or "__pycache__" in name
        ]
        yield from (f"{name} does not belong there" for name in strange)
        libraries = [name for name in names if name.endswith(".so")]
        if len(libraries) != 1:
            yield f"one extension was expected, not {libraries}"
            return
        library = archive.read(libraries[0])
    allowed, needed = allowed_glibc(wheel.name), needed_glibc(library)
    if library[:6] == b"\x7fELF\x02\x01" and SYMBOL_TABLE in section_kinds(library):
        yield "the extension is not stripped"
    if allowed is None:
        yield "the tag says nothing of manylinux"
    elif needed > allowed:
        yield f"the extension needs glibc {needed[0]}.{needed[1]}, more than its tag says"
    else:
        print(f"needs glibc {needed[0]}.{needed[1]}, tagged for {allowed[0]}.{allowed[1]} and newer")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(names)} files, stripped, with stubs and licences")


def run_in_fresh_environment(wheel: Path) -> int:
    """Installs the wheel into a fresh environment and runs a program; the exit status of the step that failed, or 0."""
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory, "bin", "python")
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-index", str(wheel.resolve())]
        for command in (install, [str(python), "-W", "error", "-c", PROGRAM]):
            status = subprocess.run(command, cwd=directory, timeout=120, check=False).returncode
            if status:
                return status
    return 0


def main() -> int:
    status = 0
    for wheel in map(Path, sys.argv[1:]):
        for fault in faults(wheel):
            print(f"{wheel.name}: {fault}", file=sys.stderr)
            status = 1
        if run_in_fresh_environment(wheel):
            print(f"{wheel.name}: does not work in a fresh environment", file=sys.stderr)
            status = 1
        else:
            print("installed in a fresh environment, and a program ran")
    return status


if __name__ == "__main__":
    sys.exit(main())
