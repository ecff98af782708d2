"""install() replaces every name of asyncio that ferrio implements, and uninstall() restores every one."""

import asyncio
import asyncio.__main__ as repl_module  # noqa: F401 # not imported by asyncio itself, and holds names of its own
import re
import subprocess
import sys
import textwrap
import threading
import types
from asyncio import (
    Future as EarlyFuture,
    Task as EarlyTask,
    ensure_future as early_ensure_future,
    gather as early_gather,
)
from collections.abc import Iterator

import pytest

import ferrio
from ferrio._natives import NATIVES

pytestmark = pytest.mark.filterwarnings("ignore:.*(policy|child_watcher|ChildWatcher).*:DeprecationWarning")

# Names that say which implementation of asyncio's own they mean.
IMPLEMENTATION = re.compile(r"_(c|py|C|Py)(_|[A-Z])")


def asyncio_modules() -> list[types.ModuleType]:
    return [module for name, module in sys.modules.items() if name == "asyncio" or name.startswith("asyncio.")]


def everything() -> dict[tuple[str, str], int]:
    """The identity of every attribute of asyncio's modules and of their classes."""
    found = {}
    for module in asyncio_modules():
        for name, value in vars(module).items():
            found[module.__name__, name] = id(value)
            if isinstance(value, type) and value.__module__.startswith("asyncio"):
                for attribute, inner in vars(value).items():
                    found[f"{module.__name__}.{name}", attribute] = id(inner)
    return found


@pytest.fixture(autouse=True)
def all_is_put_back() -> Iterator[None]:
    policy, asyncio.events._event_loop_policy = asyncio.events._event_loop_policy, None
    before = everything()
    yield
    ferrio.uninstall()
    asyncio.events._event_loop_policy = None  # asyncio.run() makes one
    after = everything()
    asyncio.events._event_loop_policy = policy
    assert dict.fromkeys(before.keys() ^ after.keys()) == {}
    assert [key for key, identity in before.items() if after[key] != identity] == []


def stock_natives() -> dict[int, str]:
    """asyncio's own objects, by identity, which install() replaces; asked for before it."""
    found = {}
    for name, ours in NATIVES.items():
        for module in asyncio_modules():
            theirs = vars(module).get(name)
            if theirs is not None and theirs is not ours:
                found[id(theirs)] = name
    return found


def references(value: object, seen: set[int]) -> Iterator[tuple[str, object]]:
    """What a class or function holds: class attributes, default arguments, what it closes over."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: list[tuple[str, object]] = []
    match value:
        case type():
            inner = [(name, each) for name, each in vars(value).items() if not name.startswith("__") or callable(each)]
        case types.FunctionType():
            inner += [("a default argument", each) for each in value.__defaults__ or ()]
            inner += [("a default argument", each) for each in (value.__kwdefaults__ or {}).values()]
            # Its own class, which zero-argument super() needs, is not a reference to what others should use.
            names = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
            inner += [(f"the closed over {name}", cell.cell_contents) for name, cell in names if name != "__class__"]
        case staticmethod() | classmethod():
            inner = [("the function", value.__func__)]
        case property():
            inner = [("a function", each) for each in (value.fget, value.fset, value.fdel) if each is not None]
    for label, each in inner:
        yield label, each
        if str(getattr(each, "__module__", "")).startswith("asyncio"):
            for deeper, leaf in references(each, seen):
                yield f"{label}: {deeper}", leaf


def test_no_module_of_asyncios_holds_a_stock_object_under_any_name():
    stock = stock_natives()
    ferrio.install()
    stale = [
        f"{module.__name__}.{name} is asyncio's own {stock[id(value)]}"
        for module in asyncio_modules()
        for name, value in vars(module).items()
        if id(value) in stock and not IMPLEMENTATION.match(name)
    ]
    assert stale == []


def test_no_class_or_function_of_asyncios_holds_a_stock_object():
    stock = stock_natives()
    ferrio.install()
    seen = set(stock)  # what our own take the place of may hold what it likes
    stale = []
    for module in asyncio_modules():
        for name, value in vars(module).items():
            if IMPLEMENTATION.match(name) or not str(getattr(value, "__module__", "")).startswith("asyncio"):
                continue
            for label, leaf in references(value, seen):
                if id(leaf) in stock:
                    stale.append(f"{module.__name__}.{name}, {label}: asyncio's own {stock[id(leaf)]}")
    assert stale == []


def test_every_native_name_is_in_asyncio_and_where_its_submodules_have_it():
    places = [(module, name) for module in asyncio_modules() for name in NATIVES if name in vars(module)]
    assert places
    ferrio.install()
    for module, name in places:
        assert vars(module)[name] is NATIVES[name], f"{module.__name__}.{name}"


def test_a_name_that_this_asyncio_lacks_is_not_added():
    lacking = {name for name in NATIVES if not any(name in vars(module) for module in asyncio_modules())}
    ferrio.install()
    assert not {name for name in lacking if hasattr(asyncio, name)}


def test_a_submodule_imported_afterwards_gets_ours_and_gives_them_back():
    code = """
    import sys, asyncio, types, importlib.util
    stock = asyncio.gather
    import ferrio
    ferrio.install()
    source = "from asyncio import gather, Future as Other"
    module = types.ModuleType("asyncio.imported_later")
    sys.modules[module.__name__] = module
    exec(source, vars(module))
    import asyncio.__main__
    assert module.gather is ferrio.gather and module.Other is ferrio.Future
    ferrio.uninstall()
    assert module.gather is stock and module.Other is asyncio.Future is not ferrio.Future
    ours = {id(value) for value in map(vars(ferrio).get, ("Future", "Task", "gather", "sleep"))}
    assert not [name for name in vars(asyncio.__main__) if id(vars(asyncio.__main__)[name]) in ours]
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True)


def test_what_another_library_put_there_before_gives_way_and_comes_back():
    stock = asyncio.gather
    try:
        asyncio.gather = print  # type: ignore[assignment]
        ferrio.install()
        assert asyncio.gather is asyncio.tasks.gather is ferrio.gather
        ferrio.uninstall()
        assert asyncio.gather is print
        assert asyncio.tasks.gather is stock
    finally:
        asyncio.gather = stock


def test_what_another_library_puts_there_afterwards_stays():
    stock = asyncio.gather
    ferrio.install()
    asyncio.gather = print  # type: ignore[assignment]
    ferrio.install()
    assert asyncio.gather is print
    ferrio.uninstall()
    try:
        assert asyncio.gather is print
        assert asyncio.tasks.gather is stock
    finally:
        asyncio.gather = stock


def test_what_another_library_deletes_stays_deleted():
    stock = asyncio.gather
    ferrio.install()
    del asyncio.gather
    ferrio.uninstall()
    try:
        assert not hasattr(asyncio, "gather")
    finally:
        # In its place in the order of the module's names nothing else is lost.
        asyncio.gather = stock


def test_an_install_that_fails_changes_nothing(monkeypatch):
    def failing(policy: object) -> bool:
        raise MemoryError

    monkeypatch.setattr("ferrio._install._makes_our_loops", failing)
    before = everything()
    with pytest.raises(MemoryError):
        ferrio.install()
    assert everything() == before


def test_an_install_from_within_install_neither_hangs_nor_doubles(monkeypatch):
    """As from a signal handler or a finalizer."""
    before = everything()

    def again(policy: object) -> bool:
        ferrio.install()
        return True

    monkeypatch.setattr("ferrio._install._makes_our_loops", again)
    ferrio.install()
    ferrio.uninstall()
    assert everything() == before


def test_threads_that_install_at_once_all_find_it_done():
    start = threading.Barrier(8)
    seen = []

    def race() -> None:
        start.wait()
        ferrio.install()
        seen.append((asyncio.Task, asyncio.tasks.gather))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(ferrio.Task, ferrio.gather)] * 8


def test_names_taken_before_work_with_those_taken_afterwards():
    ferrio.install()

    async def number(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def main() -> list[object]:
        late = asyncio.create_task(number(1))
        early = early_ensure_future(number(2))
        assert isinstance(late, EarlyTask)
        assert isinstance(late, EarlyFuture)
        assert isinstance(late, asyncio.Task)
        future = EarlyFuture()
        asyncio.get_running_loop().call_soon(future.set_result, 3)
        assert asyncio.isfuture(future)
        own = EarlyTask(number(4))
        late_gather = asyncio.gather(late, early, future, own)
        return [await late_gather, await early_gather(late, early, own, late_gather)]

    assert asyncio.run(main()) == [[1, 2, 3, 4], [1, 2, 4, [1, 2, 3, 4]]]


def test_install_and_uninstall_while_a_loop_runs():
    async def main() -> list[type]:
        kinds = []

        async def child() -> None:
            await asyncio.sleep(0)

        for change in (lambda: None, ferrio.install, ferrio.uninstall):
            pending = asyncio.create_task(child())
            change()
            task = asyncio.create_task(child())
            kinds.append(type(task))
            await asyncio.gather(pending, task)
        return kinds

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(main()) == [EarlyTask, ferrio.Task, EarlyTask]
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(main()) == [ferrio.Task] * 3


def test_the_command_line_leaves_no_stale_name(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import asyncio, ferrio
        from ferrio._natives import NATIVES
        for name, ours in NATIVES.items():
            assert getattr(asyncio, name, ours) is ours, name
        asyncio.run(asyncio.sleep(0))
        """)
    )
    subprocess.run([sys.executable, "-m", "ferrio", str(program)], check=True)


@pytest.mark.parametrize("statement", ["import ferrio", "import ferrio; ferrio.install()"])
def test_import_and_install_need_nothing_that_asyncio_does_not(statement):
    """They stay quick: next to nothing of the standard library is imported for them."""
    code = f"import sys, asyncio; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The last two tell whether this is the main interpreter; they are part of the interpreter itself.
    expected = {"gc", "typing", "_typing", "_interpreters", "_xxsubinterpreters"}
    assert {name for name in run.stdout.split() if name.partition(".")[0] != "ferrio"} <= expected
