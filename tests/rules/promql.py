"""Which metrics, labels and label values an expression of PromQL names.

Our own expressions are plain: no string but in matchers, no metric that is not held to a prefix.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from controller.telemetry.metrics import Metrics

SELECTOR = re.compile(r"(?<![\w:])((?:\w+:)?(?:holdfast|process|python)_[\w:]*|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
OF_TARGETS = frozenset({"cluster", "namespace", "job", "instance"})
OF_USERS = frozenset({"queue", "repository", "name", "reason", "version", "python"})  # their values are not ours
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
GIVEN = frozenset({"up"})  # made by Prometheus for each target

Known = Mapping[str, Mapping[str, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric as an expression names it, with its matchers (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expr: str) -> Iterator[Selector]:
    """All of an expression."""
    for found in SELECTOR.finditer(expr):
        yield Selector(found.group(1), tuple(MATCHER.findall(found.group(2) or "")))


def groupings(expr: str) -> set[str]:
    """The labels that an expression groups or joins by."""
    return {label.strip() for found in GROUPING.findall(expr) for label in found.split(",") if label.strip()}


def known_metrics(exposition: str) -> dict[str, dict[str, frozenset[str]]]:
    """Label values by label by name of sample, of a text exposition; nothing by name where all labels are of users."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(exposition):
        for ending in ENDINGS.get(family.type, ("",)):
            found.setdefault(family.name + ending, {})
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return {name: {label: frozenset(v) for label, v in labels.items()} for name, labels in found.items()}


@functools.cache
def registry() -> Known:
    """What a controller has that has seen nothing yet."""
    return known_metrics(Metrics().render().decode())


def unknown(expr: str, known: Known, recorded: Iterable[str] = ()) -> list[str]:
    """What an expression names and nothing has.

    Args:
        known: of `known_metrics`.
        recorded: names of recording rules.
    """
    wrong = []
    for selector in selectors(expr):
        if selector.name in {*recorded, *GIVEN}:
            continue
        if selector.name not in known:
            wrong.append(f"no metric {selector.name}")
            continue
        labels = known[selector.name]
        for label, operator, value in selector.matchers:
            if "$" in value or label in OF_TARGETS | OF_USERS - labels.keys():
                continue
            if label not in labels:
                wrong.append(f"{selector.name} has no label {label}")
            else:
                values = value.split("|") if "~" in operator else [value]
                wrong += [f"{selector.name} has no {label} {v}" for v in values if v not in labels[label]]
    every = {label for labels in known.values() for label in labels} | OF_TARGETS | OF_USERS
    return wrong + [f"no label {label}" for label in groupings(expr) - every]
