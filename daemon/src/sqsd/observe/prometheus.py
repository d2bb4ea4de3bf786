"""Formats metrics for Prometheus: text format 0.0.4.

Source: prometheus.io, "Exposition formats". Names begin with `sqsd_`; counters end in `_total`,
durations in `_seconds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqsd.observe.metrics import (
    COUNTERS,
    QUEUE_COUNTERS,
    STATUS_CLASSES,
    Histogram,
    Levels,
    Metrics,
    QueueLevels,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class QueueSeries(NamedTuple):
    """Holds what is shown of one of several queues. `name` is unique among them."""

    name: str
    metrics: Metrics
    levels: QueueLevels


def exposition(
    metrics: Metrics, levels: Levels, version: str, queues: Sequence[QueueSeries] = ()
) -> str:
    """Return the page of all metrics, those of each queue included where there are several."""
    lines = [*_lines(metrics, levels, version), *(_queues(queues) if queues else ())]
    return "".join(f"{line}\n" for line in lines)


def _lines(metrics: Metrics, levels: Levels, version: str) -> Iterator[str]:
    yield from _family("build_info", "gauge", "Always 1; the version is its label.")
    yield f'sqsd_build_info{{version="{_escaped(version)}"}} 1'
    for attribute, name, meaning in COUNTERS:
        yield from _single(f"{name}_total", "counter", meaning, getattr(metrics, attribute))
    yield from _family("messages_released_total", "counter", "Messages released, by reason.")
    for reason, count in metrics.releases.items():
        yield f'sqsd_messages_released_total{{reason="{_escaped(reason)}"}} {count}'
    yield from _levels(levels)
    for name, histogram, meaning in (
        ("dwell_seconds", metrics.dwell, "From sent to received, by SQS's clock and this one's."),
        ("dispatch_seconds", metrics.dispatch, "From received to posted."),
        ("delete_seconds", metrics.delete, "From the application's 200 to the confirmed delete."),
        (
            "loop_lag_seconds",
            metrics.loop_lag,
            "How late the event loop was, measured each second.",
        ),
        ("cron_late_seconds", metrics.cron_late, "From a task's time to its message being sent."),
    ):
        yield from _family(name, "histogram", meaning)
        yield from _buckets(name, histogram, "")
    yield from _family("app_seconds", "histogram", "Application time, by class of status.")
    for label, histogram in zip(STATUS_CLASSES, metrics.app, strict=True):
        yield from _buckets("app_seconds", histogram, f'status="{label}"')


def _levels(levels: Levels) -> Iterator[str]:
    for name, meaning, value in (
        (
            "in_flight",
            "Messages here: posted, waiting for their group, or held.",
            levels.in_flight,
        ),
        ("gate_open", "1 while the application is up and messages are received.", levels.gate_open),
        ("draining", "1 while the daemon stops.", levels.draining),
        ("leader", "1 while this process enqueues periodic tasks.", levels.leader),
        ("poll_age_seconds", "Since SQS last answered a receive.", levels.poll_age),
        ("uptime_seconds", "Since the daemon started.", levels.uptime),
    ):
        yield from _single(name, "gauge", meaning, value)
    if levels.leader_for is not None:
        yield from _single(
            "leader_for_seconds", "gauge", "Since this process became leader.", levels.leader_for
        )
    if levels.last_cron_send_age is not None:
        yield from _single(
            "last_cron_send_age_seconds",
            "gauge",
            "Since a periodic task was last enqueued, as far as this process knows.",
            levels.last_cron_send_age,
        )
    yield from _single(
        "log_lines_dropped_total",
        "counter",
        "Log lines that standard output would not take.",
        levels.log_lines_dropped,
    )


def _queues(queues: Sequence[QueueSeries]) -> Iterator[str]:
    """Use separate names (`sqsd_queue_...`), so that a sum over queues counts nothing twice."""
    labels = [f'queue="{_escaped(queue.name)}"' for queue in queues]
    for attribute, name, meaning in COUNTERS:
        if attribute in QUEUE_COUNTERS:
            yield from _family(f"queue_{name}_total", "counter", meaning)
            for label, queue in zip(labels, queues, strict=True):
                yield f"sqsd_queue_{name}_total{{{label}}} {getattr(queue.metrics, attribute)}"
    yield from _family("queue_messages_released_total", "counter", "Messages released.")
    for label, queue in zip(labels, queues, strict=True):
        yield f"sqsd_queue_messages_released_total{{{label}}} {queue.metrics.released}"
    yield from _family("queue_in_flight", "gauge", "Messages here.")
    for label, queue in zip(labels, queues, strict=True):
        yield f"sqsd_queue_in_flight{{{label}}} {queue.levels.in_flight}"
    yield from _family("queue_poll_age_seconds", "gauge", "Since SQS last answered a receive.")
    for label, queue in zip(labels, queues, strict=True):
        yield f"sqsd_queue_poll_age_seconds{{{label}}} {_number(queue.levels.poll_age)}"
    yield from _family("queue_dwell_seconds", "histogram", "From sent to received.")
    for label, queue in zip(labels, queues, strict=True):
        yield from _buckets("queue_dwell_seconds", queue.metrics.dwell, label)
    yield from _family("queue_app_seconds", "histogram", "Application time, by class of status.")
    for label, queue in zip(labels, queues, strict=True):
        for status, histogram in zip(STATUS_CLASSES, queue.metrics.app, strict=True):
            yield from _buckets("queue_app_seconds", histogram, f'{label},status="{status}"')


def _family(name: str, kind: str, meaning: str) -> Iterable[str]:
    return f"# HELP sqsd_{name} {meaning}", f"# TYPE sqsd_{name} {kind}"


def _single(name: str, kind: str, meaning: str, value: float) -> Iterator[str]:
    yield from _family(name, kind, meaning)
    yield f"sqsd_{name} {_number(value)}"


def _buckets(name: str, histogram: Histogram, labels: str) -> Iterator[str]:
    before = f"{labels}," if labels else ""
    after = f"{{{labels}}}" if labels else ""
    so_far = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        so_far += count
        edge = "+Inf" if bound is None else _number(bound)
        yield f'sqsd_{name}_bucket{{{before}le="{edge}"}} {so_far}'
    yield f"sqsd_{name}_sum{after} {_number(histogram.total)}"
    yield f"sqsd_{name}_count{after} {so_far}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
