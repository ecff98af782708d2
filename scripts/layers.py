"""The layers inside the crates that have folders, and the rules about them for `check_structure.py`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from import_graph import Edge, circles, edges
from rust_source import RustSource

# The folders, and files beside them, of a crate's `src`, from the top down: each may use those below it only.
LAYERS: dict[str, tuple[str, ...]] = {
    "ferrio-python": (
        "bounded_dealloc",
        "command_line",
        "inspect",
        "testing",
        "anyio",
        "net",
        "subprocess",
        "streams",
        "transports",
        "runners",
        "event_loop",
        "tasks",
        "threads",
        "task_groups",
        "queues",
        "timeouts",
        "locks",
        "common",
        "compat",
    ),
    "ferrio-cpython": ("objects", "capi"),
    "ferrio": (
        "testing",
        "process",
        "signal",
        "net",
        "io",
        "threads",
        "tasks",
        "queues",
        "locks",
        "time",
        "task",
        "runtime",
        "error",
    ),
}

# How many modules of a folder may lie in circles. A folder that is not named here has none.
MODULES_IN_CIRCLES: dict[str, int] = {
    "ferrio/queues": 2,
    "ferrio/runtime": 5,
    "ferrio-cpython/capi": 6,
    "ferrio-cpython/objects": 42,
    "ferrio-python/anyio": 4,
    "ferrio-python/event_loop": 12,
    "ferrio-python/locks": 4,
    "ferrio-python/net": 11,
    "ferrio-python/queues": 6,
    "ferrio-python/runners": 3,
    "ferrio-python/streams": 11,
    "ferrio-python/task_groups": 3,
    "ferrio-python/tasks": 2,
    "ferrio-python/transports": 28,
}


@dataclass(frozen=True)
class Problem:
    """What is wrong in a crate: a place below its `src` (empty for a folder), a line, and a text."""

    place: str
    line: int
    text: str


def upward_arrows(crate: str, files: dict[str, RustSource]) -> Iterator[Problem]:
    """Uses of a folder that does not lie below, and folders without a place."""
    rank = {name: place for place, name in enumerate(LAYERS[crate])}
    for path in files:
        name = path.split("/")[0].removesuffix(".rs")
        if name not in rank and name != "lib":
            yield Problem(path, 1, f"`{name}` has no place in LAYERS of scripts/layers.py")
    paths = {_name(path): path for path in files}
    for edge in edges(files):
        user, used = edge.user[:1], edge.used[:1]
        if user and used and rank.get(used[0], 0) < rank.get(user[0], 0):
            text = f"`{user[0]}` may not use `{used[0]}`, which lies above it"
            yield Problem(paths["::".join(edge.user)], edge.line, text)


def circles_inside(crate: str, files: dict[str, RustSource]) -> Iterator[Problem]:
    """Folders with more modules in circles than they may have."""
    for folder, graph in sorted(_graphs(edges(files)).items()):
        count = sum(len(circle) for circle in circles(graph))
        most = MODULES_IN_CIRCLES.get(f"{crate}/{folder}", 0)
        if count > most:
            yield Problem("", 0, f"{count} modules of `{folder}` use one another in circles, more than {most}")


def _graphs(uses: Iterable[Edge]) -> dict[str, dict[str, set[str]]]:
    """The uses inside each folder."""
    graphs: dict[str, dict[str, set[str]]] = {}
    for edge in uses:
        if edge.user and edge.used and edge.user[0] == edge.used[0]:
            graph = graphs.setdefault(edge.user[0], {})
            graph.setdefault("::".join(edge.user), set()).add("::".join(edge.used))
    return graphs


def _name(path: str) -> str:
    return path.removesuffix(".rs").removesuffix("/mod").replace("/", "::")
