"""Every exported name exists, is typed, documented and exported once; asyncio's own names are asyncio's objects."""

import ast
import asyncio
import importlib.resources
import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest

import ferrio
from ferrio._natives import NATIVES

OWN = {"EventLoop", "EventLoopPolicy", "allow_nested_runs", "anyio_status", "install", "new_event_loop", "run"}
OWN |= {"uninstall", *NATIVES}

pytestmark = pytest.mark.filterwarnings("ignore:.*EventLoopPolicy.*:DeprecationWarning")


def stub(name: str) -> ast.Module:
    return ast.parse(importlib.resources.files("ferrio").joinpath(name).read_text())


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that hold for the running Python."""
    for statement in body:
        if isinstance(statement, ast.If):
            holds = eval(ast.unparse(statement.test), {"sys": sys})
            yield from statements(statement.body if holds else statement.orelse)
        else:
            yield statement


def names(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a stub offers: definitions, and imports that repeat their name."""
    for statement in statements(body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(names=imports):
                yield from (each.asname for each in imports if each.asname == each.name)


def test_each_name_is_exported_once():
    assert len(ferrio.__all__) == len(set(ferrio.__all__))
    assert set(ferrio.__all__) == OWN | set(asyncio.__all__)


def test_star_import_gives_what_is_listed():
    namespace: dict[str, object] = {}
    exec("from ferrio import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(ferrio.__all__)


@pytest.mark.parametrize("name", sorted(set(asyncio.__all__) - OWN))
def test_other_names_are_asyncios_own(name):
    assert getattr(ferrio, name) is getattr(asyncio, name)


@pytest.mark.parametrize("name", ["subprocess", "DefaultEventLoopPolicy", "AbstractEventLoopPolicy"])
def test_what_asyncio_does_not_list_is_found_too(name):
    assert getattr(ferrio, name) is getattr(asyncio, name)


def test_unknown_name_is_ours_to_miss():
    with pytest.raises(AttributeError, match="module 'ferrio' has no attribute 'nothing'"):
        _ = ferrio.nothing


def test_each_name_is_typed_once():
    typed = list(names(stub("__init__.pyi").body))
    assert len(typed) == len(set(typed))
    beyond_all = {"__version__", "TaskGroup", "AbstractEventLoopPolicy", "DefaultEventLoopPolicy"}
    submodules = {name for name in typed if f"asyncio.{name}" in sys.modules and name not in ferrio.__all__}
    assert {"subprocess", "events", "tasks"} <= submodules
    assert set(typed) - submodules | beyond_all == set(ferrio.__all__) | beyond_all


@pytest.mark.parametrize("name", sorted(OWN))
def test_own_name_is_documented(name):
    documentation = inspect.getdoc(getattr(ferrio, name))
    assert documentation
    theirs = getattr(asyncio, name, None)
    assert documentation != inspect.getdoc(theirs) or theirs is getattr(ferrio, name)


def test_loop_has_the_methods_of_its_stub_and_no_others():
    (loop,) = (each for each in stub("_ferrio.pyi").body if isinstance(each, ast.ClassDef) and each.name == "EventLoop")
    typed = {name for name in names(loop.body) if not name.startswith("_")}
    public = {name for name in dir(ferrio.EventLoop) if not name.startswith("_")}
    assert typed == public


def test_signatures_are_those_of_the_stubs(tmp_path):
    pytest.importorskip("mypy", reason="mypy compares them")
    command = [sys.executable, "-m", "mypy.stubtest", "ferrio", "--concise"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def parameters(function: object) -> list[tuple[str, object]] | None:
    """Names and defaults, or nothing where the interpreter knows none: asyncio's C classes on some versions."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [(each.name, each.default) for each in found]


# What our signature has more, on versions whose asyncio lacks it (`Queue.shutdown` is a method more and not looked at).
MORE = {
    "run": {"loop_factory"},
    "TaskGroup.create_task": {"name", "context", "kwargs"},
    "StreamWriter.start_tls": {"ssl_shutdown_timeout"},
}


@pytest.mark.parametrize("name", sorted(set(NATIVES) & set(asyncio.__all__)))
def test_signatures_are_asyncios(name):
    theirs, ours = getattr(asyncio, name), getattr(ferrio, name)
    public = [each for each in dir(theirs) if not each.startswith("_")] if isinstance(theirs, type) else []
    pairs = {name: (theirs, ours)}
    pairs |= {f"{name}.{each}": (getattr(theirs, each), getattr(ours, each)) for each in public}
    for spelling, (their, our) in pairs.items():
        if not callable(their) or (wanted := parameters(their)) is None:
            continue
        found = parameters(our)
        assert found is not None, spelling
        more = MORE.get(spelling, set())
        ours_alike, theirs_alike = ([each for each in some if each[0] not in more] for some in (found, wanted))
        assert ours_alike == theirs_alike, spelling


def test_loop_is_asyncios_kind_of_loop_and_implements_all_of_it():
    assert issubclass(ferrio.EventLoop, asyncio.AbstractEventLoop)
    for name in dir(asyncio.AbstractEventLoop):
        if not name.startswith("_"):
            assert getattr(ferrio.EventLoop, name) is not getattr(asyncio.AbstractEventLoop, name), name


def test_package_is_marked_as_typed():
    assert importlib.resources.files("ferrio").joinpath("py.typed").is_file()
