"""What a benchmark tells: figures, the targets that some of them have, and the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from controller.local.binaries import ETCD_VERSION, KUBERNETES_VERSION
from controller.local.home import file_system


def say(text: str) -> None:
    """Progress, on stderr: stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Target:
    """A figure has to be at most, or at least, this number."""

    direction: Literal["at most", "at least"]
    number: float

    def met(self, figure: float) -> bool:
        """Whether a figure is good enough."""
        return figure <= self.number if self.direction == "at most" else figure >= self.number


def at_most(number: float) -> Target:
    """A target that a figure must not exceed."""
    return Target("at most", number)


def at_least(number: float) -> Target:
    """A target that a figure must reach."""
    return Target("at least", number)


@dataclass
class Result:
    """One benchmark's figures; a target without its figure (a smaller run) is left out."""

    name: str
    targets: dict[str, Target]
    figures: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def add(self, **figures: float) -> None:
        """Add figures; their unit stands in the name. They are said at once, in case the rest fails."""
        new = {name: round(float(figure), 4) for name, figure in figures.items()}
        self.figures |= new
        say("".join(f"  {name} {figure:g}\n" for name, figure in new.items()).rstrip("\n"))

    @property
    def met(self) -> dict[str, bool]:
        """For each figure with a target whether it is met."""
        return {name: self.targets[name].met(figure) for name, figure in self.figures.items() if name in self.targets}

    def to_json(self) -> str:
        """The promised last line."""
        targets = {name: self.targets[name].number for name in self.met}
        value = {
            "name": self.name,
            "figures": self.figures,
            "targets": targets,
            "met": self.met,
            "machine": self.machine,
        }
        return json.dumps(value)

    def markdown(self) -> str:
        """Rows of a Markdown table, without its head."""
        rows = []
        for name, figure in self.figures.items():
            target, verdict = self.targets.get(name), ""
            if target is not None:
                verdict = "met" if target.met(figure) else "**missed**"
            wanted = "" if target is None else f"{target.direction} {target.number:g}"
            rows.append(f"| {self.name} | `{name}` | {figure:g} | {wanted} | {verdict} |")
        return "\n".join(rows)


MARKDOWN_HEAD = "| benchmark | figure | measured | target | |\n|---|---|---:|---|---|"


def machine(directory: Path) -> dict[str, Any]:
    """What figures depend on; `load` says whether others used the machine too."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kubernetes": KUBERNETES_VERSION,
        "etcd": ETCD_VERSION,
        "file_system": file_system(directory),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]
