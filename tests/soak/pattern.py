"""The bytes that connections carry: different for each connection and each place in it, and cheap to check."""

import random

LARGEST = 1 << 20
_STEP = 997
_PERIOD = 1 << 20
_bytes = memoryview(random.Random(5).randbytes(_PERIOD + LARGEST + _STEP))


def data(connection: int) -> memoryview:
    start = connection * _STEP % _PERIOD
    return _bytes[start : start + LARGEST]
