"""Metrics for the tools that collect them: Prometheus's text, `prometheus_client` and OpenTelemetry."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ferrio.inspect._metrics import DEFINITIONS, Distribution, Metric, metrics

# What Prometheus appends to a name for its unit.
_UNITS = {"s": "_seconds", "1": "_ratio", "By": "_bytes"}


def prometheus() -> str:
    """The metrics as text for Prometheus (exposition format 0.0.4): what a program's own `/metrics` may answer."""
    return "".join(f"{line}\n" for line in prometheus_lines(metrics()))


def prometheus_lines(found: dict[str, Metric]) -> Iterator[str]:
    """The lines of that text."""
    for name, metric in found.items():
        shown = prometheus_name(name, metric)
        yield f"# HELP {shown} {_escaped(metric['description'])}"
        yield f"# TYPE {shown} {metric['kind']}"
        for point in metric["points"]:
            value = point["value"]
            if not isinstance(value, dict):
                yield f"{shown}{_labels(point['attributes'])} {value!r}"
                continue
            for limit, count in _buckets(value):
                yield f"{shown}_bucket{_labels({**point['attributes'], 'le': limit})} {count}"
            yield f"{shown}_sum{_labels(point['attributes'])} {value['sum']!r}"
            yield f"{shown}_count{_labels(point['attributes'])} {value['count']}"


def prometheus_name(name: str, metric: Metric) -> str:
    """A metric's name with its unit, as Prometheus's users expect it."""
    end = "_total" if metric["kind"] == "counter" else ""
    return re.sub(r"\W", "_", name) + _UNITS.get(metric["unit"], "") + end


def _buckets(value: Distribution) -> Iterator[tuple[str, int]]:
    for limit, count in zip(value["limits"], value["counts"], strict=True):
        yield repr(limit), count
    yield "+Inf", value["count"]


def _labels(attributes: dict[str, str]) -> str:
    """`{name="value"}`; the last part of an attribute's name is enough."""
    if not attributes:
        return ""
    pairs = (f'{_label(name)}="{_escaped(value, quoted=True)}"' for name, value in attributes.items())
    return "{" + ",".join(pairs) + "}"


def _label(name: str) -> str:
    return name.rpartition(".")[2]


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text


class Collector:
    """For `prometheus_client`: `REGISTRY.register(ferrio.inspect.Collector())`. The package must be installed."""

    def __init__(self) -> None:
        import prometheus_client.core  # noqa: F401 - fails here, not in the middle of a collection

    def collect(self) -> Iterator[Any]:
        """The metrics as families of `prometheus_client`."""
        from prometheus_client import core

        for name, metric in metrics().items():
            # The client appends `_total` to counters itself.
            shown = prometheus_name(name, metric).removesuffix("_total")
            names = sorted({attribute for point in metric["points"] for attribute in point["attributes"]})
            labels = [_label(attribute) for attribute in names]
            family: Any
            if metric["kind"] == "histogram":
                family = core.HistogramMetricFamily(shown, metric["description"], labels=labels)
            elif metric["kind"] == "counter":
                family = core.CounterMetricFamily(shown, metric["description"], labels=labels)
            else:
                family = core.GaugeMetricFamily(shown, metric["description"], labels=labels)
            for point in metric["points"]:
                values = [point["attributes"].get(attribute, "") for attribute in names]
                value = point["value"]
                if isinstance(value, dict):
                    family.add_metric(values, list(_buckets(value)), value["sum"])
                else:
                    family.add_metric(values, value)
            yield family

    def describe(self) -> Iterator[Any]:
        """Nothing: what there is to collect is known only when it is collected."""
        return iter(())


def instrument(provider: Any = None) -> None:
    """Offers the metrics to OpenTelemetry: to `provider`, or to the one that the program has set or will set.

    The package `opentelemetry-api` must be installed. Each metric becomes an observable counter or gauge of the meter
    "ferrio", read whenever the provider's readers ask. The API has no observable histograms, so there are none.
    """
    from opentelemetry.metrics import Observation, get_meter

    from ferrio._ferrio import __version__

    meter = get_meter("ferrio", __version__) if provider is None else provider.get_meter("ferrio", __version__)

    def observer(name: str) -> Callable[[Any], Iterable[Any]]:
        def observe(_: Any) -> Iterator[Any]:
            metric = metrics().get(name)
            for point in metric["points"] if metric is not None else ():
                yield Observation(point["value"], dict(point["attributes"]))  # type: ignore[arg-type]

        return observe

    for name, (kind, unit, description) in DEFINITIONS.items():
        if kind == "counter":
            meter.create_observable_counter(name, [observer(name)], unit=unit, description=description)
        elif kind == "gauge":
            meter.create_observable_gauge(name, [observer(name)], unit=unit, description=description)
