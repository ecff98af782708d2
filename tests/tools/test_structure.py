"""scripts/check_structure.py: accepts a sound tree, and each rule reports what it forbids."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONGEST

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_structure.py"

SOUND: dict[str, str | bytes] = {
    "crates/ferrio-sys/Cargo.toml": '[dependencies]\nrustix = "1"\n',
    "crates/ferrio-sys/src/lib.rs": '//! The system.\n#[cfg(target_os = "linux")]\npub fn here() {}\n',
    "crates/ferrio-engine/Cargo.toml": "[dependencies]\n",
    "crates/ferrio-engine/src/lib.rs": (
        "//! The logic.\n#![forbid(unsafe_code)]\n"
        "// unsafe, pyo3::ffi and cfg(unix) are only words here\n"
        'pub const TEXT: &str = "unsafe { pyo3::ffi } // TODO";\n'
        "pub fn lifetime<'a>(text: &'a str) -> &'a str { text }\n"
        "use std::ffi::CString;\n"
    ),
    "crates/ferrio-cpython/Cargo.toml": '[dependencies]\npyo3 = "0.30"\nferrio-engine.workspace = true\n',
    "crates/ferrio-cpython/src/lib.rs": (
        "//! The objects.\nuse pyo3::ffi;\n"
        "pub fn count() -> isize {\n"
        "    // SAFETY: the interpreter is attached, which the caller shows\n"
        "    // by its token.\n"
        "    let count = wrap(\n        unsafe { ffi::Count() },\n    );\n    count\n}\n"
    ),
    "crates/ferrio-python/Cargo.toml": '[dependencies]\npyo3 = "0.30"\nferrio-cpython.workspace = true\n',
    "crates/ferrio-python/src/lib.rs": "//! The surface.\n#![forbid(unsafe_code)]\n",
    "crates/ferrio-python/src/net/mod.rs": "//! Connects.\npub fn open() {}\n",
    "crates/ferrio-python/src/queues/mod.rs": "//! Queues.\n",
    "python/ferrio/__init__.py": '"""The names."""\n\n# TODO #12: a note with its issue\n',
    "tests/__init__.py": "",
}


def run_on(tree: dict[str, str | bytes], root: Path) -> subprocess.CompletedProcess[str]:
    for path, content in tree.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True, check=False)


def test_sound_tree_passes(tmp_path):
    run = run_on(SOUND, tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "arrows between folders that run up: 0\n", "")


LONG = ("tests/test_long.py", '"""Long."""\n\ndef f():\n' + "    pass\n" * 60 + "x = 1\n" * 400)

# A file that is added to the sound tree, and what is reported.
CASES: list[tuple[str, str | bytes, str]] = [
    (
        "crates/ferrio-engine/Cargo.toml",
        "[dependencies]\nferrio-sys.workspace = true\n",
        "`ferrio-engine` may not depend on `ferrio-sys`",
    ),
    (
        "crates/ferrio-sys/Cargo.toml",
        "[target.'cfg(unix)'.dev-dependencies]\npython = { package = 'ferrio-python', path = '..' }\n",
        "`ferrio-sys` may not depend on `ferrio-python`",
    ),
    (
        "crates/ferrio-engine/Cargo.toml",
        '[dependencies]\npyo3 = "0.30"\n',
        "`ferrio-engine` may not depend on `pyo3`",
    ),
    ("crates/ferrio-web/Cargo.toml", "[dependencies]\n", "`ferrio-web` has no place"),
    (
        "crates/ferrio-python/src/locks/lock.rs",
        "//! A lock.\nuse crate::queues::queue;\n",
        "lock.rs:2: `locks` may not use `queues`, which lies above it",
    ),
    (
        "crates/ferrio-python/src/common/mod.rs",
        "//! Common.\nmod a {}\npub fn f() { super::net::open() }\n",
        "mod.rs:3: `common` may not use `net`, which lies above it",
    ),
    ("crates/ferrio-python/src/mixed.rs", "//! Mixed.\n", "`mixed` has no place in LAYERS"),
    ("crates/ferrio-cpython/src/capi/held.rs", "//! H.\n", "`held` is a name of old: owned, locked"),
    ("crates/ferrio-engine/src/a.rs", "//! A.\nlet told = 1;\n", "a.rs:2: `told` is a name of old"),
    ("crates/ferrio-python/src/lib.rs", "//! No promise.\n", "must say `#![forbid(unsafe_code)]`"),
    (
        "crates/ferrio-engine/src/queue.rs",
        "//! A queue.\n// SAFETY: none\nunsafe fn pop() {}\n",
        "queue.rs:3: `unsafe` may not stand in `ferrio-engine`",
    ),
    (
        "crates/ferrio-sys/src/poller.rs",
        "//! Polls.\nfn f() {\n    // SAFETY: used up by the first\n    unsafe { a() };\n    unsafe { b() };\n}\n",
        "poller.rs:5: `unsafe` without a `SAFETY:` comment",
    ),
    (
        "crates/ferrio-sys/src/waker.rs",
        "//! Wakes.\nunsafe impl Send for Waker {}\n",
        "waker.rs:2: `unsafe` without a `SAFETY:` comment",
    ),
    (
        "crates/ferrio-python/src/common/a.rs",
        "//! A.\nuse pyo3::ffi::PyObject;\n",
        "a.rs:2: `pyo3::ffi` may not stand in `ferrio-python`",
    ),
    ("crates/ferrio-python/src/common/b.rs", "//! B.\nuse pyo3::{\n    ffi, prelude::*};\n", "b.rs:3: `pyo3::ffi`"),
    (
        "crates/ferrio-cpython/src/capi/c.rs",
        '//! C.\n#[cfg(any(target_os = "linux", test))]\nfn f() {}\n',
        "c.rs:2: `cfg(target_os)` may only stand in `ferrio-sys`",
    ),
    ("crates/ferrio-python/src/common/d.rs", "//! D.\nconst U: bool = cfg!(unix);\n", "d.rs:2: `cfg(unix)`"),
    ("crates/ferrio-sys/src/e.rs", "//! E.\n" + "fn f() {}\n" * 601, "e.rs: 601 code lines, more than 600"),
    ("tests/test_e.py", '"""E."""\n' + "x = 1\n" * 600, "test_e.py: 601 code lines, more than 600"),
    (
        "crates/ferrio-sys/src/f.rs",
        "//! F.\nfn long(a: [u8; 4]) {\n" + "    f();\n" * 99 + "}\n",
        "f.rs:2: `long` has 101 code lines, more than 100",
    ),
    (
        "benches/f.py",
        '"""F."""\n\nasync def long():\n' + "    pass\n" * 100,
        "f.py:3: `long` has 101 code lines",
    ),
    ("crates/ferrio-sys/src/g.rs", "//! G.\n/* TODO: later */\n", "g.rs:2: TODO without an issue's number"),
    ("python/ferrio/g.py", '"""G."""\n# FIXME soon\n', "g.py:2: FIXME without an issue's number"),
    ("crates/ferrio-sys/src/h.rs", "use std::io;\n//! Late.\n", "h.rs:1: a Rust file opens with"),
    ("python/ferrio/h.py", "import sys\n", "h.py:1: a Python file opens with"),
    ("python/ferrio/_ferrio.cpython-313.so", b"\x7fELF", "generated files do not belong"),
    ("docs/picture", b"\x89PNG\0\0", "binary files do not belong"),
    ("README.md", f"Look into /{'home'}/me/project.\n", "is a path of one machine"),
    (
        "crates/ferrio-python/src/net/guard.rs",
        "//! A guard.\nimpl Drop for Guard {\n    fn drop(&mut self) {\n        Python::try_attach(end);\n    }\n}\n",
        "crates/ferrio-python/src/net/guard.rs:4: a destructor attaches by `finalizing`, not by `Python::try_attach`",
    ),
    (
        "crates/ferrio-python/src/net/names.rs",
        "//! Names.\npub fn names() {\n    slf.py()\n        .import(name)\n}\n",
        "crates/ferrio-python/src/net/names.rs:3: import by `ferrio_cpython::module`, which asks no builtins",
    ),
]


@pytest.mark.parametrize(("path", "content", "message"), CASES)
def test_rule_catches(tmp_path, path, content, message):
    run = run_on({**SOUND, path: content}, tmp_path)
    assert run.returncode == 1
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_each_rule_has_a_case(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    check_structure = importlib.import_module("check_structure")
    caught: set[str] = set()
    for number, (path, content) in enumerate([*((path, content) for path, content, _ in CASES), LONG]):
        root = tmp_path / str(number)
        run_on({**SOUND, path: content}, root)
        tree = [check_structure.Source(root, name) for name in check_structure.files_of(root)]
        caught.update(rule.__name__ for rule in check_structure.RULES if any(rule(tree)))
    assert {rule.__name__ for rule in check_structure.RULES} == caught


def test_the_test_files_that_come_first_are_there():
    assert [name for name in LONGEST if not (SCRIPT.parents[1] / "tests" / name).is_file()] == []


def test_warnings_alone_pass(tmp_path):
    path, content = LONG
    run = run_on({**SOUND, path: content}, tmp_path)
    assert run.returncode == 0
    assert "warning: 462 code lines, more than 400: split it" in run.stderr
    assert "warning: `f` has 61 code lines, more than 60" in run.stderr
