"""Metrics on `ray.util.metrics`: a run's readings become series of Ray's metrics endpoint on the controller's node."""

from collections.abc import Iterable
from typing import TypeVar

from ray.util.metrics import Counter, Gauge

from records.metrics import METRICS, RUN, Kind, Metric, Reading

InstrumentT = TypeVar("InstrumentT", Counter, Gauge)


class RayExporter:
    """Shows one run's readings under its address, from the process that calls it.

    Args:
        run: the run's address: the label that tells runs of one cluster apart.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._counters = {metric: _instrument(Counter, metric) for metric in METRICS if metric.kind is Kind.COUNTER}
        self._gauges = {metric: _instrument(Gauge, metric) for metric in METRICS if metric.kind is Kind.GAUGE}
        self._totals: dict[tuple[Metric, tuple[str, ...]], float] = {}

    def export(self, readings: Iterable[Reading]) -> None:
        """See `MetricsExporter`."""
        for metric, labels, value in readings:
            tags = {RUN: self._run, **dict(zip(metric.labels, labels, strict=True))}
            if metric.kind is Kind.GAUGE:
                self._gauges[metric].set(float(value), tags)
            else:
                self._grow(metric, labels, float(value), tags)

    def _grow(self, metric: Metric, labels: tuple[str, ...], total: float, tags: dict[str, str]) -> None:
        """Raise a counter to its total. One that is 0 is shown too: Prometheus sees no increase from nothing to 1."""
        before = self._totals.get((metric, labels))
        if before is None:
            self._counters[metric]._record(0.0, tags)  # `inc` refuses 0
        if total > (before or 0.0):
            self._counters[metric].inc(total - (before or 0.0), tags)
        self._totals[metric, labels] = total


def _instrument(make: type[InstrumentT], metric: Metric) -> InstrumentT:
    return make(metric.name, metric.help, (RUN, *metric.labels))
