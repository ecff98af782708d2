"""Which modules of a Rust crate use which others, read from paths that begin with `crate`, `super` or a child's name.

A module is named by its path below `src`, as a tuple: `("event_loop", "run")`. Macros are not expanded.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rust_source import RustSource

Module = tuple[str, ...]

_USE = re.compile(r"\buse\s+([^;]*);")
_INLINE = re.compile(r"(?<![\w:])((?:crate|super)(?:\s*::\s*\w+)+)")


@dataclass(frozen=True)
class Edge:
    """A use of one module in another, and the line where it stands."""

    user: Module
    used: Module
    line: int


def module_of(path: str) -> Module:
    """The module that a file below `src` holds: `event_loop/mod.rs` is `("event_loop",)`, `lib.rs` is `()`."""
    parts = path.removesuffix(".rs").split("/")
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return tuple(parts)


def edges(files: dict[str, RustSource]) -> Iterator[Edge]:
    """All uses between the files of one crate; `files` are by their path below `src`."""
    modules = {module_of(path): source for path, source in files.items()}
    for user, source in modules.items():
        seen: set[Module] = set()
        for path, offset in _paths(source.code):
            absolute = _absolute(user, path, modules)
            if absolute is None:
                continue
            used = _longest_known(absolute, modules)
            if used != user and used not in seen:
                seen.add(used)
                yield Edge(user, used, source.line_of(offset))


def _paths(code: str) -> Iterator[tuple[list[str], int]]:
    """Every path of a `use`, and every other one that begins with `crate` or `super`, with its place."""
    for match in _USE.finditer(code):
        for path in _leaves(" ".join(match[1].split())):
            yield path, match.start()
    for match in _INLINE.finditer(code):
        yield re.split(r"\s*::\s*", match[1]), match.start()


def _leaves(tree: str) -> Iterator[list[str]]:
    """The paths of a `use`: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    head, brace, rest = tree.partition("{")
    prefix = [part for part in head.replace(" ", "").split("::") if part]
    if not brace:
        yield re.sub(r" as \w+$", "", tree).replace(" ", "").split("::")
        return
    for part in _split(rest.rpartition("}")[0]):
        for leaf in _leaves(part):
            yield prefix + [name for name in leaf if name != "self"]


def _split(text: str) -> Iterator[str]:
    """The parts of a list in braces: commas inside inner braces separate nothing."""
    depth, begin = 0, 0
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            yield text[begin:place].strip()
            begin = place + 1
    if last := text[begin:].strip():
        yield last


def _absolute(user: Module, path: list[str], modules: Iterable[Module]) -> Module | None:
    """The path from the crate's root; None if it leads to another crate."""
    if path[0] == "crate":
        return tuple(path[1:])
    base, names = user, list(path)
    while names and names[0] in ("super", "self"):
        base = base[:-1] if names.pop(0) == "super" else base
        if not names:
            return base
    if len(names) < len(path) or (*base, names[0]) in modules:
        return (*base, *names)
    return None


def _longest_known(path: Module, modules: Iterable[Module]) -> Module:
    """The innermost module on a path, which ends in an item."""
    while path and path not in modules:
        path = path[:-1]
    return path


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of nodes that reach one another, of two nodes or more."""
    reached = {node: _reachable(node, graph) for node in graph}
    found: list[set[str]] = []
    for node in sorted(graph):
        circle = {other for other in reached[node] if node in reached.get(other, set())}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for node in graph.get(waiting.pop(), set()) - reached:
            reached.add(node)
            waiting.append(node)
    return reached
