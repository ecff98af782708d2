"""The extension's file: tools that read it next to a running process find what they look for."""

import struct
import sys
from pathlib import Path

import pytest

import ferrio._ferrio

FILE = Path(ferrio._ferrio.__file__)
PT_LOAD, PT_GNU_EH_FRAME = 1, 0x6474E550

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads an ELF file")


def program_headers():
    """The type, offset and virtual address of each segment of a 64-bit ELF file."""
    with FILE.open("rb") as file:
        header = file.read(64)
        (start,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(start)
        for _ in range(count):
            kind, _flags, offset, address = struct.unpack_from("<IIQQ", file.read(size))
            yield kind, offset, address


def test_segments_lie_in_memory_as_in_the_file():
    """Unwinders of other processes, such as libunwind in `py-spy --native`, take one for the other."""
    segments = [(offset, address) for kind, offset, address in program_headers() if kind == PT_LOAD]
    assert len(segments) > 1
    assert all(offset == address for offset, address in segments)


def test_unwind_tables_are_indexed():
    assert [kind for kind, _, _ in program_headers()].count(PT_GNU_EH_FRAME) == 1
