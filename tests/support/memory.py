"""What is in use of memory, however fragmented the heap is and whatever the C library keeps for later.

The resident size tells neither: it depends on how much was in use at most and on where the last of it lay.
"""

import ctypes
import gc


class Mallinfo2(ctypes.Structure):
    """`struct mallinfo2` of <malloc.h>, in bytes where it is not a number of blocks."""

    names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in names]


def in_use() -> int:
    """Bytes that the program holds of malloc's: what Rust has, and what Python has of over 512 bytes.

    0 where the C library does not tell (musl). Python's small objects lie elsewhere: `len(gc.get_objects())` and
    tracemalloc tell of those.
    """
    gc.collect()
    if (mallinfo2 := getattr(ctypes.CDLL(None), "mallinfo2", None)) is None:
        return 0
    mallinfo2.restype = Mallinfo2
    info = mallinfo2()
    return info.uordblks + info.hblkhd
