"""What the watchdog finds is in the metrics."""

import asyncio
import time

import ferrio
from ferrio import inspect


def total(found, name: str) -> float:
    return sum(point["value"] for point in found[name]["points"])


def test_metrics_count_blocks_and_measure_the_loops_delay(tmp_path):
    async def main():
        before, known = inspect.metrics(), len(inspect.blocks())
        while len(inspect.blocks()) == known:
            time.sleep(0.01)
        while not inspect.metrics()["ferrio.eventloop.delay"]["points"][0]["value"]["count"]:  # type: ignore[index]
            await asyncio.sleep(0.001)
        return before, inspect.metrics()

    inspect.start(tmp_path / "socket", blocked=0.02)
    try:
        with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
            before, after = runner.run(main())
    finally:
        inspect.stop()
    assert total(after, "ferrio.eventloop.blocked") >= total(before, "ferrio.eventloop.blocked") + 1
    took = total(after, "ferrio.eventloop.blocked.time") - total(before, "ferrio.eventloop.blocked.time")
    assert took >= 0.02
    assert after["ferrio.eventloop.delay"]["kind"] == "histogram"
    (point,) = after["ferrio.eventloop.delay"]["points"]
    delay = point["value"]
    assert delay["limits"] == sorted(delay["limits"])
    assert delay["counts"] == sorted(delay["counts"])
    assert delay["counts"][-1] <= delay["count"]
    quantiles = [total(after, f"ferrio.eventloop.delay.p{each}") for each in (50, 90, 99)]
    assert 0 <= quantiles[0] <= quantiles[1] <= quantiles[2] <= delay["limits"][-1]
    text = inspect.prometheus()
    assert "ferrio_eventloop_blocked_total " in text
    assert "ferrio_eventloop_blocked_time_seconds_total " in text
