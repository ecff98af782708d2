"""What `ferrio top` shows: the tasks of a process, sorted, and what has changed since the sample before.

Everything here comes from snapshots, so watching a process needs nothing in it that other views do not need.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypedDict

from ferrio.inspect import _text
from ferrio.inspect._chains import Index
from ferrio.inspect._model import Snapshot, Task


class Row(TypedDict):
    """A task, or several that do the same."""

    name: str
    tasks: int
    state: str
    # Seconds for which it has been in the same place at every look. It may have gone away and come back in between.
    same_place: float
    # Seconds since it was created; None if that is unknown. Of several tasks, the greatest.
    age: float | None
    # Seconds for which it has run, in all, and at most at a time; None if that is unknown. Of several tasks, the sum
    # and the greatest.
    ran: float | None
    longest: float | None
    waits_for: str
    where: str


class Sample(TypedDict):
    """A look at the process."""

    pid: int
    # Lines about the process and its loops.
    heading: list[str]
    # Seconds since the sample before, and how many tasks have come and gone meanwhile; None in the first one.
    since: float | None
    came: int | None
    gone: int | None
    rows: list[Row]
    # Seconds that the process took for the snapshot.
    took: float


class _Seen(NamedTuple):
    """Where a task was, when its sleep ends (if it sleeps), and since when it is there."""

    place: tuple[object, ...]
    wakes: float | None
    since: float

    def is_still(self, place: tuple[object, ...], wakes: float | None) -> bool:
        if self.place != place:
            return False
        # Two sleeps in one place are one if they end at the same time; snapshots give it to a few milliseconds.
        return self.wakes == wakes or (self.wakes is not None and wakes is not None and abs(self.wakes - wakes) < 0.02)


# How rows can be sorted: the key that is pressed, the order's name, and what is compared.
ORDERS: dict[str, tuple[str, Callable[[Row], object]]] = {
    "p": ("place", lambda row: -row["same_place"]),
    "a": ("age", lambda row: -(row["age"] if row["age"] is not None else float("inf"))),
    "t": ("time", lambda row: -(row["ran"] if row["ran"] is not None else -1.0)),
    "l": ("longest", lambda row: -(row["longest"] if row["longest"] is not None else -1.0)),
    "n": ("name", lambda row: row["name"]),
    "s": ("state", lambda row: (("running", "ready", "waiting").index(row["state"]), row["name"])),
    "c": ("count", lambda row: -row["tasks"]),
    "w": ("where", lambda row: row["where"]),
}
ORDER_NAMES = {name: key for key, (name, _) in ORDERS.items()}


class Watch:
    """Compares each snapshot with the one before."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._time: float | None = None

    def sample(self, snapshot: Snapshot) -> Sample:
        """What a snapshot shows, beside the ones before it."""
        now = snapshot["time"]
        index = Index(snapshot)
        before, self._seen = self._seen, {}
        rows = [self._row(index, task, before, now) for task in snapshot["tasks"]]
        since = None if self._time is None else max(now - self._time, 0.0)
        self._time = now
        return Sample(
            pid=snapshot["pid"],
            heading=list(_heading(snapshot)),
            since=since,
            came=None if since is None else len(self._seen.keys() - before.keys()),
            gone=None if since is None else len(before.keys() - self._seen.keys()),
            rows=rows,
            took=snapshot["took"],
        )

    def _row(self, index: Index, task: Task, before: dict[str, _Seen], now: float) -> Row:
        own = [frame for frame in task["stack"] if not frame["asyncio"]] or task["stack"]
        wait = task["waits_for"]
        lines = tuple((frame["function"], frame["line"]) for frame in task["stack"])
        place = (task["name"], task["state"], lines, wait and (wait["kind"], wait["primitive"], tuple(wait["tasks"])))
        wakes = None if wait is None or wait["until"] is None else now + wait["until"]
        seen = before.get(task["id"])
        if seen is None or not seen.is_still(place, wakes):
            seen = _Seen(place, wakes, now)
        self._seen[task["id"]] = seen
        return Row(
            name=_text.printable(task["name"]),
            tasks=1,
            state=task["state"] or "unknown",
            same_place=max(now - seen.since, 0.0),
            age=task["age"],
            ran=None if task["times"] is None else task["times"]["total"],
            longest=None if task["times"] is None else task["times"]["longest"],
            waits_for=_text.waits_for(index, task),
            where=_text.place(own[-1] if own else None),
        )


def _heading(snapshot: Snapshot) -> Iterator[str]:
    yield _text.heading(snapshot)
    for loop in snapshot["loops"]:
        thread = _text.printable(loop["thread_name"] or "no thread")
        queued = "" if loop["ready"] is None else f", {loop['ready']} ready"
        timers = "" if loop["timers"] is None else f", {_text.count(loop['timers'], 'timer')}"
        yield f"loop {loop['id']} in {thread}, {loop['state']}: {_text.count(loop['tasks'], 'task')}{queued}{timers}"
    states = Counter(task["state"] for task in snapshot["tasks"])
    yield ", ".join(f"{states[state]} {state}" for state in ("running", "ready", "waiting"))
    for deadlock in snapshot["deadlocks"]:
        if not deadlock["has_timeout"]:
            yield f"DEADLOCK of {_text.count(len(deadlock['links']), 'task')}: `ferrio why {snapshot['pid']}` shows it"
    for kind, number in Counter(lint["kind"] for lint in snapshot["lints"]).items():
        times = "" if number == 1 else f" ({number} times)"
        yield f"LINT {kind}{times}: `ferrio ps {snapshot['pid']}` shows it"


def grouped(rows: list[Row]) -> list[Row]:
    """Tasks in the same state and the same place as one row."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["state"], row["where"]), []).append(row)
    return [_together(group) for group in groups.values()]


def _together(rows: list[Row]) -> Row:
    first = rows[0]
    ages = [row["age"] for row in rows if row["age"] is not None]
    ran = [row["ran"] for row in rows if row["ran"] is not None]
    kinds = Counter(row["waits_for"] for row in rows)
    common, how_many = kinds.most_common(1)[0]
    return Row(
        name=first["name"] if len(rows) == 1 else f"{first['name']}, …",
        tasks=len(rows),
        state=first["state"],
        same_place=max(row["same_place"] for row in rows),
        age=max(ages) if ages else None,
        ran=sum(ran) if ran else None,
        longest=max((row["longest"] for row in rows if row["longest"] is not None), default=None),
        waits_for=common if how_many == len(rows) else f"{common}, …",
        where=first["where"],
    )


def ordered(rows: list[Row], order: str, *, backwards: bool = False) -> list[Row]:
    """Rows by one of `ORDERS`."""
    return sorted(rows, key=ORDERS[order][1], reverse=backwards)  # type: ignore[arg-type]


COLUMNS = ("task", "tasks", "state", "same place", "age", "ran", "longest", "waits for", "where")


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of `COLUMNS`."""
    age = "?" if row["age"] is None else f"{row['age']:.1f} s"
    same_place = f"{row['same_place']:.1f} s"
    ran, longest = ("?" if each is None else _text.milliseconds(each) for each in (row["ran"], row["longest"]))
    return row["name"], str(row["tasks"]), row["state"], same_place, age, ran, longest, row["waits_for"], row["where"]


def changes(sample: Sample) -> str:
    """How many tasks have come and gone."""
    if sample["since"] is None:
        return "first sample"
    return (
        f"{_text.count(sample['came'] or 0, 'task')} came and {sample['gone']} went in the last {sample['since']:.1f} s"
    )


def still(sample: Sample, rows: list[Row], most: int) -> Iterator[str]:
    """A sample as lines of plain text, with at most so many rows."""
    yield from sample["heading"]
    yield changes(sample)
    yield ""
    yield from _text.table([COLUMNS, *(cells(row) for row in rows[:most])])
    if len(rows) > most:
        yield f"… and {len(rows) - most} more"
