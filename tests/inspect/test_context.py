"""Context variables: only those that the program names are shown, and showing them runs none of its code."""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from contextvars import ContextVar, copy_context

import pytest

import ferrio
import ferrio.inspect
from ferrio._install import _STOCK
from ferrio.inspect import ContextValue, _text
from ferrio.inspect._context import _LONGEST, values_of
from tests.support.inspected import inspected

pytestmark = pytest.mark.timeout(120)

request_id: ContextVar[object] = ContextVar("request_id")
secret: ContextVar[object] = ContextVar("secret")

KINDS = {"ferrio": ferrio.Task, "C": _STOCK["Task"], "Python": asyncio.tasks._PyTask}  # type: ignore[attr-defined]


@pytest.fixture
def start(tmp_path):
    tmp_path.chmod(0o700)

    def begin(context, **options):
        return ferrio.inspect.start(tmp_path / "inspect.sock", context=context, **{"blocked": None} | options)

    yield begin
    ferrio.inspect.stop()


def seen(value: object, kind=ferrio.Task) -> list[ContextValue]:
    """What is shown of a task that has set `request_id` to a value."""

    async def waits():
        request_id.set(value)
        secret.set("hidden")
        await asyncio.get_running_loop().create_future()

    async def main():
        task = kind(waits(), loop=asyncio.get_running_loop(), name="waits")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        snapshot = ferrio.inspect.snapshot()
        task.cancel()
        await asyncio.wait([task])
        assert "hidden" not in json.dumps(snapshot)
        (found,) = [each for each in snapshot["tasks"] if each["name"] == "waits"]
        return found["context"]

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_named_variable_is_shown_of_tasks_of_every_kind(start, kind):
    start([request_id])
    assert seen("r-1", kind) == [{"name": "request_id", "type": "builtins.str", "value": "'r-1'"}]


def test_nothing_is_shown_unless_it_is_named(start):
    start([])
    assert seen("r-1") == []


def test_a_variable_can_be_named_by_its_module(start):
    start([f"{__name__}:request_id", f"{__name__}:missing", "no.such.module:variable"])
    (shown,) = seen("r-1")
    assert (shown["name"], shown["value"]) == (f"{__name__}:request_id", "'r-1'")


class Hostile:
    """Its code must not run."""

    def __repr__(self):
        raise AssertionError

    __str__ = __hash__ = __eq__ = __format__ = __repr__  # type: ignore[assignment]

    def __getattribute__(self, name):
        raise AssertionError


class Text(str):
    __repr__ = Hostile.__repr__


VALUES = [
    (7, "7"),
    (True, "True"),
    (None, "None"),
    (1.5, "1.5"),
    (b"a\0", "b'a\\x00'"),
    (uuid.UUID(int=7), f"'{uuid.UUID(int=7)}'"),
    (1 << 100_000, None),
    (Hostile(), None),
    (Text("a"), None),
    (["a list may hold anything"], None),
]


@pytest.mark.parametrize(("value", "shown"), VALUES, ids=lambda value: type(value).__name__)
def test_plain_values_are_shown_and_others_by_their_type(start, value, shown):
    start([request_id])
    (found,) = seen(value)
    assert found["value"] == shown
    assert found["type"] == f"{type(value).__module__}.{type(value).__qualname__}"


def test_what_stands_in_the_place_of_a_module_is_not_asked(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "hostile", Hostile())
    start(["hostile:variable"])
    assert seen("r-1") == []


def test_long_values_are_cut(start):
    start([request_id])
    (found,) = seen("x" * 10_000_000)
    assert found["value"] == "'" + "x" * _LONGEST + "'…"


def test_control_characters_do_not_reach_a_terminal():
    value = ContextValue(name="a\x1b[1m", type="t", value="'\x1b'")
    assert "\x1b" not in _text.context_text([value])


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("module:name", TypeError), ([7], TypeError), (["name"], ValueError), ([request_id] * 51, ValueError)],
)
def test_what_is_no_variable_is_refused_before_anything_starts(start, wrong, error):
    with pytest.raises(error):
        start(wrong)
    assert values_of(None) == []


def test_stop_forgets_the_variables(start):
    start([request_id])
    ferrio.inspect.stop()
    assert seen("r-1") == []


def test_a_report_of_a_block_has_the_values(start, caplog):
    start([request_id], blocked=0.01)

    async def main():
        request_id.set("r-9")
        # Until the watchdog has seen it, however busy the machine is.
        ends = time.monotonic() + 60
        while not new_blocks() and time.monotonic() < ends:
            time.sleep(0.01)

    known = {each["number"] for each in ferrio.inspect.blocks()}

    def new_blocks():
        return [each for each in ferrio.inspect.blocks() if each["number"] not in known]

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        copy_context().run(runner.run, main())
    report = new_blocks()[-1]
    assert report["context"] == [{"name": "request_id", "type": "builtins.str", "value": "'r-9'"}]
    assert "Context: request_id='r-9'" in caplog.records[-1].stack_info


def test_the_environment_names_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("FERRIO_INSPECT_CONTEXT", "__main__:request_id, other:variable")
    code = """
        from contextvars import ContextVar
        request_id = ContextVar("request_id")

        async def main():
            request_id.set("r-42")
            print("ready")
            await asyncio.Event().wait()
    """
    with inspected(tmp_path, code) as program:
        program.until_waiting(**{"Task-1": "event"})
        assert "request_id='r-42'" in program.show("ps")
        assert "context request_id='r-42'" in program.show("why")


def test_a_program_with_an_unusable_name_runs_all_the_same(tmp_path):
    environment = {"FERRIO_INSPECT": "1", "FERRIO_INSPECT_CONTEXT": "nonsense", "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [sys.executable, "-c", "import ferrio; print('runs')"]
    tmp_path.chmod(0o700)
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert ran.stdout == "runs\n"
    assert "'nonsense' is not of the form 'module:variable'" in ran.stderr
