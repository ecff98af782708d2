"""Checks that the project has the structure that ARCHITECTURE.md describes.

Each rule is a function that takes the tree and yields findings; `main` prints them and exits with status 1 if any is a
failure. Warnings alone pass. Checks that a compiler or a linter makes are left to it.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import layers
from old_names import OLD_NAMES
from rust_source import RustSource

# Which crates of the workspace a crate may use: dependencies point down only.
CRATES_BELOW: dict[str, frozenset[str]] = {
    "ferrio-sys": frozenset(),
    "ferrio-engine": frozenset(),
    "ferrio": frozenset({"ferrio-sys", "ferrio-engine"}),
    "ferrio-capsule": frozenset(),
    "ferrio-bridge": frozenset({"ferrio-sys", "ferrio-capsule"}),
    "ferrio-cpython": frozenset({"ferrio-sys", "ferrio-engine", "ferrio-capsule"}),
    "ferrio-pyo3": frozenset({"ferrio-cpython"}),
    "ferrio-python": frozenset({"ferrio-sys", "ferrio-engine", "ferrio-cpython", "ferrio-pyo3"}),
}
KNOWS_PYTHON = frozenset({"ferrio-bridge", "ferrio-capsule", "ferrio-cpython", "ferrio-pyo3", "ferrio-python"})
# ferrio-capsule calls C functions of another extension, which no safe code can: it holds nothing else.
MAY_USE_UNSAFE = frozenset({"ferrio-sys", "ferrio-capsule", "ferrio-cpython"})
MAY_CALL_RAW_PYTHON = frozenset({"ferrio-capsule", "ferrio-cpython"})
MAY_ASK_THE_PLATFORM = "ferrio-sys"

FILE_WARNING, FILE_LIMIT = 400, 600
FUNCTION_WARNING, FUNCTION_LIMIT = 60, 100

_UNSAFE = re.compile(r"\bunsafe\b")
_UNSAFE_BLOCK_OR_IMPL = re.compile(r"\bunsafe\s*(\{|impl\b)")
_RAW_PYTHON = re.compile(r"\bpyo3\s*::\s*ffi\b|\bpyo3\s*::\s*\{[^;]*\bffi\b|(?<![:\w])\s*\bffi\s*::")
_PLATFORM = re.compile(
    r"\bcfg(?:_attr)?!?\s*\([^\]\n]*\b(target_os|target_family|target_vendor|target_env|unix|windows)\b"
)
_DESTRUCTOR = re.compile(r"\bimpl\b[^{;]*\bDrop\s+for\b|\bfn\s+finalize_\w+")
_ATTACHES = re.compile(r"\bPython\s*::\s*(?:try_)?attach\b")
_IMPORTS = re.compile(r"\bpy(?:\(\))?\s*\.\s*import\(")
_OLD_NAME = re.compile(r"(?<!')\b(?:" + "|".join(OLD_NAMES) + r")\b")
_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\W*#\d)")
_PERSONAL_PATH = re.compile(r"""(?:^|[\s"'`(=:])/(?:home|root|Users|work|workspace|builds|tmp)/[\w.]""")
_GENERATED = re.compile(
    r"(?:^|/)(?:target|dist|__pycache__|\.venv[^/]*|\.hypothesis|\.mypy_cache)/"
    r"|\.(?:so|pyd|dylib|o|a|rlib|whl|pyc|egg-info|profraw|prof|log)$"
)


@dataclass(frozen=True)
class Finding:
    """A violation of a rule, and its place."""

    path: str
    line: int
    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {'warning: ' if self.is_warning else ''}{self.text}"


class Source:
    """A file of the tree, read once."""

    def __init__(self, root: Path, path: str) -> None:
        self.path = path
        self.content = (root / path).read_bytes()

    @cached_property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    @cached_property
    def rust(self) -> RustSource:
        return RustSource(self.text)

    @property
    def is_binary(self) -> bool:
        return b"\0" in self.content[:8192]

    @property
    def crate(self) -> str | None:
        parts = self.path.split("/")
        return parts[1] if parts[0] == "crates" and len(parts) > 2 else None

    def python_comments(self) -> Iterator[tuple[int, str]]:
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


Tree = list[Source]


def rust_files(tree: Tree) -> Iterator[tuple[Source, str]]:
    """The Rust files of the workspace's crates, each with its crate's name."""
    for source in tree:
        if source.path.endswith(".rs") and source.crate is not None:
            yield source, source.crate


def python_files(tree: Tree) -> Iterator[Source]:
    """The Python files that are not empty."""
    return (source for source in tree if source.path.endswith(".py") and source.text.strip())


def crate_edges_point_down(tree: Tree) -> Iterator[Finding]:
    """A crate uses only the crates below it, and only crates that know Python use PyO3."""
    for source in tree:
        if source.crate is None or not source.path.endswith("/Cargo.toml"):
            continue
        if source.crate not in CRATES_BELOW:
            yield Finding(source.path, 0, f"crate `{source.crate}` has no place in CRATES_BELOW of this script")
            continue
        for name in sorted(_dependencies(tomllib.loads(source.text))):
            if name in CRATES_BELOW and name not in CRATES_BELOW[source.crate]:
                yield Finding(source.path, 0, f"`{source.crate}` may not depend on `{name}`: dependencies point down")
            if name.startswith("pyo3") and source.crate not in KNOWS_PYTHON:
                yield Finding(source.path, 0, f"`{source.crate}` may not depend on `{name}`: it knows no Python")


def _dependencies(table: dict[str, object]) -> set[str]:
    names: set[str] = set()
    for key, value in table.items():
        if not isinstance(value, dict):
            continue
        if key in ("dependencies", "dev-dependencies", "build-dependencies"):
            names.update(_package(name, entry) for name, entry in value.items())
        elif key == "target":
            for platform in value.values():
                names |= _dependencies(platform)
    return names


def _package(name: str, entry: object) -> str:
    """The crate that a dependency refers to; a Cargo.toml may give it another name."""
    return str(entry.get("package", name)) if isinstance(entry, dict) else name


def unsafe_stays_in_its_crates(tree: Tree) -> Iterator[Finding]:
    """Only three crates hold unsafe code; the others forbid it."""
    for source, crate in rust_files(tree):
        if crate in MAY_USE_UNSAFE:
            continue
        if source.path.endswith("src/lib.rs") and "#![forbid(unsafe_code)]" not in source.rust.code:
            yield Finding(source.path, 1, "the crate must say `#![forbid(unsafe_code)]`")
        for match in _UNSAFE.finditer(source.rust.code):
            yield Finding(source.path, source.rust.line_of(match.start()), f"`unsafe` may not stand in `{crate}`")


def unsafe_is_justified(tree: Tree) -> Iterator[Finding]:
    """Above each unsafe block or impl a comment names the fact it relies on."""
    for source, _ in rust_files(tree):
        for match in _UNSAFE_BLOCK_OR_IMPL.finditer(source.rust.code):
            line = source.rust.line_of(match.start())
            if not _has_safety_comment(source.rust, line):
                yield Finding(source.path, line, "`unsafe` without a `SAFETY:` comment above it")


def _has_safety_comment(rust: RustSource, line: int) -> bool:
    """Searches upwards through the statement that contains the line and the comment above that statement."""
    code = rust.code.split("\n")
    if "SAFETY:" in rust.comments.get(line, ""):
        return True
    in_comment = False
    while line := line - 1:
        if line in rust.comments and not code[line - 1].strip():
            in_comment = True
            if "SAFETY:" in rust.comments[line]:
                return True
        elif in_comment or code[line - 1].rstrip().endswith((";", "}")) or not code[line - 1].strip():
            return False
    return False


def raw_python_stays_in_its_crate(tree: Tree) -> Iterator[Finding]:
    """`pyo3::ffi` appears in two crates."""
    for source, crate in rust_files(tree):
        if crate in MAY_CALL_RAW_PYTHON:
            continue
        for match in _RAW_PYTHON.finditer(source.rust.code):
            line = source.rust.line_of(match.end())
            yield Finding(source.path, line, f"`pyo3::ffi` may not stand in `{crate}`")


def platform_stays_in_its_crate(tree: Tree) -> Iterator[Finding]:
    """Only one crate asks for the operating system."""
    for source, crate in rust_files(tree):
        if crate == MAY_ASK_THE_PLATFORM:
            continue
        for match in _PLATFORM.finditer(source.rust.code):
            line = source.rust.line_of(match.start())
            yield Finding(source.path, line, f"`cfg({match[1]})` may only stand in `{MAY_ASK_THE_PLATFORM}`")


def folders_point_down(tree: Tree) -> Iterator[Finding]:
    """Inside the layered crates a folder uses only those below it, and circles lie inside a folder."""
    for crate in layers.LAYERS:
        files = sources_of(tree, crate)
        problems = [*layers.upward_arrows(crate, files), *layers.circles_inside(crate, files)]
        for problem in problems:
            yield Finding(f"crates/{crate}/src/{problem.place}", problem.line, problem.text)


def sources_of(tree: Tree, crate: str) -> dict[str, RustSource]:
    """The files of a crate by their path below its `src`."""
    below = f"crates/{crate}/src/"
    return {source.path.removeprefix(below): source.rust for source, _ in rust_files(tree) if below in source.path}


def old_names_are_gone(tree: Tree) -> Iterator[Finding]:
    """No identifier and no file has a name that the house has given up."""
    for source, _ in rust_files(tree):
        stem = source.path.rpartition("/")[2].removesuffix(".rs")
        if stem in OLD_NAMES:
            yield Finding(source.path, 0, f"`{stem}` is a name of old: {OLD_NAMES[stem]}")
        for match in _OLD_NAME.finditer(source.rust.code):
            line = source.rust.line_of(match.start())
            yield Finding(source.path, line, f"`{match[0]}` is a name of old: {OLD_NAMES[match[0]]}")


def files_are_short(tree: Tree) -> Iterator[Finding]:
    """A file holds one idea; blank lines and comments do not count."""
    for source in tree:
        if source.path.endswith(".rs"):
            lines = source.rust.code_lines()
        elif source.path.endswith(".py"):
            lines = _python_code_lines(source)
        else:
            continue
        if lines > FILE_WARNING:
            failed = lines > FILE_LIMIT
            limit = FILE_LIMIT if failed else FILE_WARNING
            yield Finding(source.path, 0, f"{lines} code lines, more than {limit}: split it", is_warning=not failed)


def functions_are_short(tree: Tree) -> Iterator[Finding]:
    """A function fits on a screen."""
    for source in tree:
        if source.path.endswith(".rs"):
            found = [(function.name, function.line, function.code_lines) for function in source.rust.functions()]
        elif source.path.endswith(".py"):
            found = list(_python_functions(source))
        else:
            continue
        for name, line, lines in found:
            if lines > FUNCTION_WARNING:
                failed = lines > FUNCTION_LIMIT
                limit = FUNCTION_LIMIT if failed else FUNCTION_WARNING
                text = f"`{name}` has {lines} code lines, more than {limit}"
                yield Finding(source.path, line, text, is_warning=not failed)


def _python_code_lines(source: Source, first: int = 1, last: int | None = None) -> int:
    lines = source.text.splitlines()[first - 1 : last]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _python_functions(source: Source) -> Iterator[tuple[str, int, int]]:
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, _python_code_lines(source, node.lineno, node.end_lineno)


def destructors_set_exceptions_aside(tree: Tree) -> Iterator[Finding]:
    """A destructor calls Python by `finalizing` only: an exception may be on its way, which any other call loses."""
    for source, crate in rust_files(tree):
        if crate != "ferrio-python":
            continue
        for start, end in source.rust.blocks(_DESTRUCTOR):
            for match in _ATTACHES.finditer(source.rust.code, start, end):
                line = source.rust.line_of(match.start())
                yield Finding(source.path, line, f"a destructor attaches by `finalizing`, not by `{match[0]}`")


def imports_ask_no_builtins(tree: Tree) -> Iterator[Finding]:
    """The extension imports by `ferrio_cpython::module`, not by the caller's builtins, which may lack `__import__`."""
    for source, crate in rust_files(tree):
        if crate in ("ferrio-cpython", "ferrio-python"):
            for match in _IMPORTS.finditer(source.rust.code):
                line = source.rust.line_of(match.start())
                yield Finding(source.path, line, "import by `ferrio_cpython::module`, which asks no builtins")


def unfinished_work_has_an_issue(tree: Tree) -> Iterator[Finding]:
    """A note about unfinished work names its issue."""
    for source in tree:
        if source.path.endswith(".rs"):
            comments: Iterable[tuple[int, str]] = source.rust.comments.items()
        elif source.path.endswith((".py", ".pyi")):
            comments = source.python_comments()
        else:
            continue
        for line, text in comments:
            if match := _UNFINISHED.search(text):
                yield Finding(source.path, line, f"{match[1]} without an issue's number, as in `{match[1]} #12`")


def files_say_what_they_are(tree: Tree) -> Iterator[Finding]:
    """Every file opens with a comment that says what it is."""
    for source in tree:
        if source.path.endswith(".rs") and not source.text.lstrip().startswith("//!"):
            yield Finding(source.path, 1, "a Rust file opens with a `//!` comment that says what it is")
    for source in python_files(tree):
        if ast.get_docstring(ast.parse(source.text)) is None:
            yield Finding(source.path, 1, "a Python file opens with a docstring that says what it is")


def nothing_generated_is_kept(tree: Tree) -> Iterator[Finding]:
    """The repository contains sources only."""
    for source in tree:
        if _GENERATED.search(source.path):
            yield Finding(source.path, 0, "generated files do not belong in the repository")
        elif source.is_binary:
            yield Finding(source.path, 0, "binary files do not belong in the repository")


def no_path_of_one_machine(tree: Tree) -> Iterator[Finding]:
    """No file contains a path that exists on one machine only."""
    for source in tree:
        if source.is_binary:
            continue
        for number, line in enumerate(source.text.splitlines(), 1):
            if match := _PERSONAL_PATH.search(line):
                yield Finding(source.path, number, f"`{match[0].strip()}…` is a path of one machine")


RULES: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    crate_edges_point_down,
    unsafe_stays_in_its_crates,
    unsafe_is_justified,
    raw_python_stays_in_its_crate,
    platform_stays_in_its_crate,
    folders_point_down,
    old_names_are_gone,
    files_are_short,
    functions_are_short,
    destructors_set_exceptions_aside,
    imports_ask_no_builtins,
    unfinished_work_has_an_issue,
    files_say_what_they_are,
    nothing_generated_is_kept,
    no_path_of_one_machine,
)


def files_of(root: Path) -> list[str]:
    """The existing files that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted({name for name in listing.split("\0") if name and (root / name).is_file()})


def check(root: Path, paths: Iterable[str]) -> list[Finding]:
    """All findings of all rules, in the order of the rules."""
    tree = [Source(root, path) for path in paths]
    return [finding for rule in RULES for finding in rule(tree)]


def main() -> int:
    """Checks the repository that contains this script, or the one given as argument."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    findings = check(root, files_of(root))
    print(f"arrows between folders that run up: {sum('which lies above it' in finding.text for finding in findings)}")
    for finding in findings:
        print(finding, file=sys.stderr)
    return int(any(not finding.is_warning for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
