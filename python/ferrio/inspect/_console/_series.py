"""The curves of the console: each loop's utilisation and delay between one look and the next, from counters."""

from itertools import pairwise
from typing import Any, NamedTuple

from ferrio.inspect._model import Snapshot


class Point(NamedTuple):
    """One loop between two looks."""

    version: int
    # Seconds since the epoch.
    at: float
    # The name of the thread that runs the loop.
    loop: str
    # The share of the time in which it was active; None if that is unknown.
    utilization: float | None
    # In seconds; None if nothing was measured. Upper bounds of the buckets in which the values are.
    delay_median: float | None
    delay_high: float | None
    tasks: int


class Rates:
    """What has been added to counters since the look before."""

    def __init__(self) -> None:
        self._times: dict[str, tuple[float, float]] = {}
        self._delays: dict[str, list[int]] = {}

    def points(self, version: int, snapshot: Snapshot, metrics: dict[str, Any]) -> list[Point]:
        """A point for each loop that runs; the first time there is nothing to compare with."""
        found = []
        for loop in snapshot["loops"]:
            if loop["state"] != "running":
                continue
            name = loop["thread_name"] or "unknown"
            median, high = self._delay(loop["id"], loop["delay"])
            share = self._share(name, metrics)
            found.append(Point(version, snapshot["time"], name, share, median, high, loop["tasks"]))
        return found

    def _share(self, thread: str, metrics: dict[str, Any]) -> float | None:
        now = {"active": 0.0, "idle": 0.0}
        points = [
            each
            for each in metrics.get("ferrio.eventloop.time", {"points": ()})["points"]
            if each["attributes"].get("thread") == thread
        ]
        if not points:
            return None
        for point in points:
            now[point["attributes"]["ferrio.eventloop.state"]] += point["value"]
        before = self._times.get(thread)
        self._times[thread] = (now["active"], now["idle"])
        if before is None:
            return None
        active, idle = now["active"] - before[0], now["idle"] - before[1]
        return active / (active + idle) if active >= 0 and idle >= 0 and active + idle > 0 else None

    def _delay(self, loop: str, delay: Any) -> tuple[float | None, float | None]:
        if delay is None:
            return None, None
        before = self._delays.get(loop)
        self._delays[loop] = delay["counts"]
        if before is None or len(before) != len(delay["counts"]):
            return None, None
        counts = [now - then for now, then in zip(delay["counts"], before, strict=True)]
        return quantile(delay["bounds"], counts, 0.5), quantile(delay["bounds"], counts, 0.99)


def quantile(bounds: list[float], counts: list[int], share: float) -> float | None:
    """The upper bound of the bucket in which the value lies that `share` of all values do not exceed."""
    total = sum(counts)
    if total <= 0 or min(counts) < 0:
        return None
    assert all(low <= high for low, high in pairwise(bounds))
    reached = 0
    for place, count in enumerate(counts):
        reached += count
        if reached >= share * total:
            return bounds[min(place, len(bounds) - 1)]
    return bounds[-1]
