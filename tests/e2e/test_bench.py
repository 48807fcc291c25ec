"""hack/bench: that its last line is what it promises; not how fast anything is (issue item 10)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)  # each brings up servers of its own, some of them twice


def bench(*arguments: str) -> dict[str, Any]:
    """Run it without its set-up; returns the object on the last line of stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": "hack"},
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "--json" in arguments:
        assert done.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == {"name", "figures", "targets", "met", "machine"}
    assert all(type(figure) in (int, float) for figure in found["figures"].values())
    assert found["met"].keys() == found["targets"].keys() <= found["figures"].keys()
    assert found["machine"]["cores"] >= 1
    return found


def test_files() -> None:
    """Requirement 8.4: the overhead of an atomic write, for each size, beside what it was computed from."""
    found = bench("files", "--json", "--jobs", "5")
    figures = found["figures"]
    for size in ("256B", "4KiB", "64KiB", "1MB"):
        overhead = (figures[f"atomic_ms_new_{size}"] / figures[f"plain_ms_new_{size}"] - 1) * 100
        assert overhead == pytest.approx(figures[f"overhead_percent_new_{size}"], abs=0.5)
    met = found["met"]["overhead_percent_new_4KiB"]
    assert met is (figures["overhead_percent_new_4KiB"] <= found["targets"]["overhead_percent_new_4KiB"])


def test_throughput() -> None:
    """Requirement 10.1: at most 4 status writes and 2 Events for a plain job, by the API server's own account."""
    found = bench("throughput", "--jobs", "20")
    figures = found["figures"]
    assert found["name"] == "throughput"
    for scene in ("true", "queued", "second", "burst"):
        assert figures[f"{scene}_jobs_per_s"] > 0
        assert figures[f"{scene}_failed_jobs"] == 0
        assert 2 <= figures[f"{scene}_status_writes_per_job_max"] <= 4
        assert 1 <= figures[f"{scene}_events_per_job_max"] <= 2
        assert figures[f"{scene}_cpu_controller_s"] > 0
        assert figures[f"{scene}_cpu_supervisors_s"] > 0
    assert figures["second_writes_per_job_patch_batchjobs_status"] >= 2
    assert figures["true_start_p50_s"] <= figures["true_start_p99_s"]
    assert found["targets"]["true_jobs_per_s"] == 100


def test_locks() -> None:
    """Issue B, speed: hand-overs in order, and what one costs in writes, by the API server's own account."""
    figures = bench("locks", "--jobs", "10")["figures"]
    assert figures["out_of_order_10"] == 0
    assert 0 < figures["handover_p50_s_10"] <= figures["handover_p99_s_10"]
    assert 3 <= figures["lock_writes_per_cycle_10"] <= 5
    assert figures["reconciled_after_kill_s"] > 0


def test_workspace() -> None:
    """Requirement 5.3: a workspace beside a full copy; the small run says nothing about which is quicker."""
    figures = bench("workspace", "--jobs", "200")["figures"]
    assert figures["workspace_over_cp_r"] == pytest.approx(
        figures["workspace_seconds"] / figures["cp_r_seconds"], rel=0.01
    )
    assert figures["prepared_workspace_seconds"] > 0


def test_audit() -> None:
    """Requirement 9.3: the audit journal off and on; the small run says nothing about what it costs."""
    figures = bench("audit", "--jobs", "10")["figures"]
    assert figures["jobs_per_s_off"] > 0
    assert figures["jobs_per_s_on"] > 0
    assert 4 <= figures["lines_per_job"] <= 7
    assert 100 < figures["bytes_per_line"] < 500


def test_snapshot() -> None:
    """Requirement 7.10: what was taken comes back, all of it in its order."""
    figures = bench("snapshot", "--jobs", "100")["figures"]
    assert figures["restored_share"] == 1 and figures["out_of_order"] == 0
    assert figures["snapshot_s"] > 0 and figures["restore_s"] > 0


def test_callbacks_end_to_end() -> None:
    """Issue C, speed: what a delivery costs in writes, by the API server's own account; nothing is lost or sent on."""
    figures = bench("callbacks", "--jobs", "20", "--part", "deliver", "--part", "outage")["figures"]
    assert figures["deliver_per_second"] > 0 and figures["deliver_refused"] == figures["deliver_twice"] == 0
    assert figures["deliver_creations_per_delivery"] == 1 and 1 <= figures["deliver_writes_per_delivery"] <= 2
    assert figures["outage_lost"] == figures["outage_sent_after_record"] == 0
    assert figures["outage_tries_in_vain"] > 0 and figures["outage_seconds_until_all_arrived"] > 0


def test_callbacks_to_a_dead_host() -> None:
    """Issue C, speed: the others with and without it; the small run says nothing about how much they are slowed."""
    figures = bench("callbacks", "--jobs", "100", "--part", "dead", "--part", "http")["figures"]
    assert figures["dead_per_second_with"] > 0 and figures["dead_per_second_without"] > 0
    assert figures["dead_twice"] == 0 and 0 < figures["dead_rss_peak_mb"] < 250
    assert figures["verified"] == 100
