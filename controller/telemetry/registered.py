"""How a metric is made: in a registry that is handed down, with every label value at zero."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Registered:
    """Base of a group of metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def _counter(
        self, name: str, text: str, labels: tuple[str, ...] = (), values: Iterable[str | tuple[str, ...]] = ()
    ) -> Counter:
        metric = Counter(name, text, labels, registry=self.registry)
        _create(metric, values)
        return metric

    def _gauge(
        self, name: str, text: str, labels: tuple[str, ...] = (), values: Iterable[str | tuple[str, ...]] = ()
    ) -> Gauge:
        metric = Gauge(name, text, labels, registry=self.registry)
        _create(metric, values)
        return metric

    def _histogram(
        self,
        name: str,
        text: str,
        buckets: tuple[float, ...],
        labels: tuple[str, ...] = (),
        values: Iterable[str | tuple[str, ...]] = (),
    ) -> Histogram:
        metric = Histogram(name, text, labels, registry=self.registry, buckets=buckets)
        _create(metric, values)
        return metric


def _create(metric: Counter | Gauge | Histogram, values: Iterable[str | tuple[str, ...]]) -> None:
    for value in values:
        metric.labels(*((value,) if isinstance(value, str) else value))
