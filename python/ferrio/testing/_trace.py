"""The story of a failed run as a trace, for Perfetto's UI and chrome://tracing.

Each task has a track with its steps and its waits in between; another one has the choices that matter. Times are the
simulation's. The steps of one instant, which take no time there, are drawn a microsecond long and one after the other.
"""

import os
from collections.abc import Iterator

from ferrio.inspect._trace import Event, made_from, write
from ferrio.testing._story import ENDS, Story

# The length of a step in microseconds.
_STEP = 1.0

_PROCESS = 1
_CHOICES = 1


def save(story: Story, title: str, file: str | os.PathLike[str]) -> None:
    """Writes the trace."""
    write(made_from(list(_events(story, title))), file)


def _events(story: Story, title: str) -> Iterator[Event]:
    yield _named("process_name", title, 0)
    yield _named("thread_name", "choices", _CHOICES)
    tracks: dict[str, int] = {}
    # What each task waits for, and since when.
    waits: dict[str, tuple[float, str]] = {}
    at = 0.0
    for event in story.events:
        at = max(event.seconds * 1e6, at)
        if not event.task:
            yield {**_event("i", _CHOICES, event.text, "choice", at), "s": "p"}
            continue
        track = tracks.setdefault(event.task, _CHOICES + 1 + len(tracks))
        if event.task in waits:
            since, text = waits.pop(event.task)
            yield _slice(track, text, "wait", since, at - since)
        yield _slice(track, event.task, "task", at, _STEP)
        at += _STEP
        if event.text != ENDS:
            waits[event.task] = (at, event.text)
    for task, (since, text) in waits.items():
        yield _slice(tracks[task], text, "wait", since, max(at - since, _STEP))
    for task, track in tracks.items():
        yield _named("thread_name", task, track)


def _event(phase: str, track: int, name: str, kind: str, at: float) -> Event:
    return {"ph": phase, "name": name, "cat": kind, "pid": _PROCESS, "tid": track, "ts": at}


def _slice(track: int, name: str, kind: str, at: float, took: float) -> Event:
    return {**_event("X", track, name, kind, at), "dur": took, "args": {}}


def _named(kind: str, name: str, track: int) -> Event:
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": track, "args": {"name": name}}
