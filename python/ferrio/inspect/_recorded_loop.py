"""The recording that `start(record=…)` asks for: what happens to one loop, for `ferrio.testing.replay`."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferrio.testing import record

_recording: "record | None" = None


def begin(file: str | os.PathLike[str], keeps_bytes: bool) -> None:
    """Records the next loop that this thread runs. RuntimeError if it runs one, or if another file is written."""
    # Imported when it is asked for: nothing else here needs it.
    from ferrio.testing import record

    global _recording
    if _recording is not None:
        if os.path.abspath(_recording.path) == os.path.abspath(os.fspath(file)):
            return
        raise RuntimeError(f"a loop is recorded already, to {_recording.path}")
    recording = record(file, bytes=keeps_bytes)
    recording.start()
    _recording = recording


def end() -> None:
    """Writes what is left of it, and ends it. In a child made by `fork` it is forgotten: the file is the parent's."""
    global _recording
    recording, _recording = _recording, None
    if recording is not None:
        recording.stop()
