"""Metrics: what is counted of loops, tasks and executors, and the forms in which it is passed on."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading

import pytest

# Before the first test looks for descriptors that it leaves open: some builds of the interpreter keep libffi's open.
with contextlib.suppress(ImportError):
    import opentelemetry.sdk.metrics  # noqa: F401

import ferrio
from ferrio import inspect
from ferrio.inspect import _metrics
from tests.support.inspected import LOOP, STOCK, WHOLE, inspected

pytestmark = pytest.mark.timeout(120)


def value(found: "dict[str, inspect.Metric]", name: str, **attributes: str) -> float:
    """The one value of a metric whose attributes, by the last part of their names, are these and more."""

    def fits(point: inspect.Point) -> bool:
        shown = {name.rpartition(".")[2]: each for name, each in point["attributes"].items()}
        return attributes.items() <= shown.items()

    (point,) = [point for point in found[name]["points"] if fits(point)]
    assert not isinstance(point["value"], dict)
    return point["value"]


def run(main, factory=ferrio.new_event_loop):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@pytest.mark.parametrize("factory", [ferrio.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("kind", ["ferrio", "asyncio"])
def test_tasks_are_counted_by_their_state(factory, kind):
    make = {"ferrio": ferrio.Task, "asyncio": asyncio.tasks._CTask}[kind]  # type: ignore[attr-defined]

    async def waits():
        await asyncio.get_running_loop().create_future()

    async def main():
        loop = asyncio.get_running_loop()
        waiting = [make(waits(), loop=loop) for _ in range(3)]
        await asyncio.sleep(0.001)
        ready = [make(waits(), loop=loop) for _ in range(2)]
        return inspect.metrics(), waiting, ready

    found, _, _ = run(main, factory)
    count = lambda state: value(found, "ferrio.task.count", state=state, thread="MainThread")  # noqa: E731
    assert (count("running"), count("ready"), count("waiting")) == (1, 2, 3)
    assert value(found, "ferrio.eventloop.ready", thread="MainThread") == 2


def test_a_task_whose_future_is_done_is_ready():
    async def waits(future):
        await future

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(waits(future))
        await asyncio.sleep(0)
        before = inspect.metrics()
        future.set_result(None)
        after = inspect.metrics()
        await task
        return before, after

    before, after = run(main)
    states = [
        tuple(value(found, "ferrio.task.count", state=state) for state in ("ready", "waiting"))
        for found in (before, after)
    ]
    assert states == [(0, 1), (1, 0)]


def test_times_add_up_and_only_a_loop_that_sleeps_is_idle():
    async def main():
        first = inspect.metrics()
        await asyncio.sleep(0.02)
        return first, inspect.metrics()

    first, second = run(main)

    def times(found):
        return [value(found, "ferrio.eventloop.time", state=state) for state in ("active", "idle")]

    assert times(first)[1] == 0
    assert times(second)[1] > 0.015
    assert times(second)[0] >= times(first)[0]
    assert value(first, "ferrio.eventloop.sleeps") == 0
    assert value(second, "ferrio.eventloop.sleeps") >= 1
    assert value(first, "ferrio.eventloop.utilization") == 1
    active, idle = times(second)
    assert value(second, "ferrio.eventloop.utilization") == pytest.approx(active / (active + idle))


def test_a_sleep_that_goes_on_counts_as_idle():
    begun, end = threading.Event(), threading.Event()

    def work():
        async def main():
            loop = asyncio.get_running_loop()
            loop.call_soon(begun.set)
            await loop.run_in_executor(None, end.wait)

        run(main)

    thread = threading.Thread(target=work, name="idle loop")
    thread.start()
    begun.wait()
    try:
        idle = [0.0]
        while idle[-1] <= 0 or len(idle) < 3:
            idle.append(value(inspect.metrics(), "ferrio.eventloop.time", state="idle", thread="idle loop"))
        assert idle == sorted(idle)
        assert idle[-1] > idle[1] > 0 or idle[1] == 0
        assert value(inspect.metrics(), "ferrio.executor.threads", thread="idle loop") == 1
    finally:
        end.set()
        thread.join()


def test_a_loop_without_tasks_is_counted():
    begun, loop = threading.Event(), ferrio.new_event_loop()
    loop.call_soon(begun.set)
    thread = threading.Thread(target=loop.run_forever, name="no tasks")
    thread.start()
    begun.wait()
    found = inspect.metrics()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    assert value(found, "ferrio.task.count", thread="no tasks", state="waiting") == 0
    assert value(found, "ferrio.eventloop.time", thread="no tasks", state="active") > 0
    assert {
        point["attributes"]["thread"] for point in inspect.metrics().get("ferrio.task.count", {"points": []})["points"]
    } <= {"none"}
    loop.close()


def test_timers_descriptors_and_executors_are_counted():
    async def main():
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        timers = [loop.call_later(1000, print) for _ in range(3)]
        end = threading.Event()
        jobs = [loop.run_in_executor(None, end.wait) for _ in range(200)]
        found = inspect.metrics()
        end.set()
        await asyncio.gather(*jobs)
        server.close()
        for timer in timers:
            timer.cancel()
        return found

    found = run(main)
    assert value(found, "ferrio.eventloop.timers") == 3
    assert value(found, "ferrio.eventloop.descriptors") == 1
    threads = value(found, "ferrio.executor.threads")
    assert 1 <= threads < 200
    # A thread that has just started may not have taken its job yet.
    assert 200 - threads <= value(found, "ferrio.executor.queue") <= 200


def test_what_is_unknown_of_asyncios_loop_is_not_there():
    async def main():
        return inspect.metrics()

    found = run(main, asyncio.SelectorEventLoop)
    assert {name for name in found if name.startswith(("ferrio.task.", "ferrio.eventloop."))} == {
        "ferrio.task.count",
        "ferrio.eventloop.ready",
        "ferrio.eventloop.timers",
        "ferrio.eventloop.blocked",
        "ferrio.eventloop.blocked.time",
    }


def test_every_metric_is_defined_and_told_in_json():
    async def main():
        await asyncio.to_thread(int)
        return inspect.metrics()

    found = run(main)
    # They are measured while inspection is on: see test_block_metrics.py, test_times.py, test_longest_wait.py and
    # test_lints.py.
    inspected = {
        "ferrio.eventloop.callback",
        "ferrio.executor.wait",
        "ferrio.lint.count",
        "ferrio.primitive.wait",
        "ferrio.queue.count",
        "ferrio.queue.length",
        "ferrio.queue.longest",
        "ferrio.task.created",
        "ferrio.task.destroyed_pending",
        "ferrio.task.done",
        "ferrio.task.poll",
        "ferrio.task.scheduled",
    }
    inspected |= {name for name in _metrics.DEFINITIONS if name.startswith("ferrio.eventloop.delay")}
    assert set(found) == set(_metrics.DEFINITIONS) - inspected
    assert json.loads(json.dumps(found)) == found


@pytest.fixture
def histogram(monkeypatch):
    """A source of another part, as the metrics of a part that counts more would be."""

    def source():
        for thread in ("a", 'b"\n\\'):
            spread = inspect.Distribution(limits=[0.1, 1.0], counts=[2, 3], sum=4.5, count=5)
            yield _metrics.Measurement("ferrio.test.delay", spread, (("thread", thread),))
            yield _metrics.Measurement("ferrio.test.delay", spread, (("thread", thread),))

    monkeypatch.setattr(_metrics, "SOURCES", [source])
    monkeypatch.setitem(_metrics.DEFINITIONS, "ferrio.test.delay", ("histogram", "s", "A \\ test."))


def test_percentiles_lie_in_their_buckets():
    known = inspect.Distribution(limits=[1.0, 2.0, 4.0], counts=[50, 90, 98], sum=0.0, count=100)
    assert _metrics._percentile(known, 0.25) == 0.5
    assert _metrics._percentile(known, 0.5) == 1.0
    assert _metrics._percentile(known, 0.9) == 2.0
    # What is above the last limit is at least that.
    assert _metrics._percentile(known, 0.99) == 4.0


def test_sources_add_metrics_of_their_own(histogram):
    (metric,) = inspect.metrics().values()
    assert [point["value"] for point in metric["points"]] == [
        {"limits": [0.1, 1.0], "counts": [4, 6], "sum": 9.0, "count": 10}
    ] * 2


def test_text_for_prometheus_has_units_labels_and_escapes(histogram):
    assert inspect.prometheus().splitlines()[:9] == [
        "# HELP ferrio_test_delay_seconds A \\\\ test.",
        "# TYPE ferrio_test_delay_seconds histogram",
        'ferrio_test_delay_seconds_bucket{thread="a",le="0.1"} 4',
        'ferrio_test_delay_seconds_bucket{thread="a",le="1.0"} 6',
        'ferrio_test_delay_seconds_bucket{thread="a",le="+Inf"} 10',
        'ferrio_test_delay_seconds_sum{thread="a"} 9.0',
        'ferrio_test_delay_seconds_count{thread="a"} 10',
        'ferrio_test_delay_seconds_bucket{thread="b\\"\\n\\\\",le="0.1"} 4',
        'ferrio_test_delay_seconds_bucket{thread="b\\"\\n\\\\",le="1.0"} 6',
    ]


def parsed(text: str) -> "list[tuple[str, str, list[tuple[str, str]]]]":
    """The samples of a text, by Prometheus's own parser, in a fixed order."""
    parser = pytest.importorskip("prometheus_client.parser")
    return sorted(
        (sample.name, family.type, sorted(sample.labels.items()))
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    )


def test_prometheus_reads_the_text():
    async def main():
        return inspect.prometheus()

    samples = parsed(run(main))
    assert ("ferrio_eventloop_utilization_ratio", "gauge", [("thread", "MainThread")]) in samples
    labels = [("state", "active"), ("thread", "MainThread")]
    assert ("ferrio_eventloop_time_seconds_total", "counter", labels) in samples
    assert ("ferrio_task_count", "gauge", [("state", "running"), ("thread", "MainThread")]) in samples


def test_collector_gives_the_client_what_the_text_says(histogram):
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    registry.register(inspect.Collector())
    assert parsed(client.generate_latest(registry).decode()) == parsed(inspect.prometheus())


def test_collector_and_text_agree_on_the_loops_metrics():
    client = pytest.importorskip("prometheus_client")

    async def main():
        registry = client.CollectorRegistry()
        registry.register(inspect.Collector())
        return client.generate_latest(registry).decode(), inspect.prometheus()

    by_client, text = run(main)
    assert parsed(by_client) == parsed(text)


def test_opentelemetry_reads_the_metrics():
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    reader = export.InMemoryMetricReader()
    provider = sdk.MeterProvider([reader])

    async def main():
        inspect.instrument(provider)
        return reader.get_metrics_data()

    (resource,) = run(main).resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "ferrio"
    by_name = {metric.name: metric for metric in scope.metrics}
    (running,) = [
        point.value
        for point in by_name["ferrio.task.count"].data.data_points
        if point.attributes == {"thread": "MainThread", "ferrio.task.state": "running"}
    ]
    assert running == 1
    assert by_name["ferrio.eventloop.time"].data.is_monotonic
    assert by_name["ferrio.eventloop.time"].unit == "s"
    provider.shutdown()


PROGRAM = """
async def main():
    waiting = [asyncio.create_task(asyncio.Event().wait()) for _ in range(3)]
    await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*waiting)
"""


@pytest.mark.parametrize("how", [WHOLE, LOOP, STOCK])
def test_command_shows_the_metrics_of_a_process(tmp_path, how):
    with inspected(tmp_path, PROGRAM, run=how) as program:
        program.until(lambda snapshot: sum(task["state"] == "waiting" for task in snapshot["tasks"]) == 4)
        text = program.show("metrics")
        found = json.loads(program.show("metrics", "--json"))
        assert program.command("metrics").stdout.splitlines()[0] == text.splitlines()[0]
    assert 'ferrio_task_count{thread="MainThread",state="waiting"} 4\n' in text
    assert value(found, "ferrio.task.count", state="waiting") == 4
    assert ("ferrio.eventloop.utilization" in found) is (how != STOCK)


def test_a_process_that_cannot_answer_is_one_line(tmp_path):
    code = """
    import re
    async def main():
        print("ready", flush=True)
        re.match(r"(a+)+$", "a" * 60 + "b")
    """
    with inspected(tmp_path, code) as program:
        result = program.command("metrics", program.pid)
    assert (result.returncode, result.stdout) == (2, "")
    assert "keeps its interpreter's lock" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_the_clients_package_the_error_names_it():
    code = """
import sys, ferrio.inspect
sys.modules["prometheus_client"] = sys.modules["opentelemetry"] = None
for attempt in (ferrio.inspect.Collector, ferrio.inspect.instrument):
    try:
        attempt()
    except ImportError as error:
        print(error.name)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert [name.split(".")[0] for name in result.stdout.split()] == ["prometheus_client", "opentelemetry"]
