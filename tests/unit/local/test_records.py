"""What `up` records, and the small things that read it back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from controller.executors.process import identity
from controller.local import logs, records
from controller.local.ports import FIRST, LAST, Ports, is_free
from controller.local.process import find_marked
from controller.local.records import Record, State
from tests.eventually import eventually_sync


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = Record("etcd", State.RUNNING, identity.of_self(), 3, 20001, "abc", "2026-01-01T00:00:00Z", "fine")
    records.write(tmp_path / "etcd.json", record)
    assert records.read(tmp_path / "etcd.json") == record
    assert record.alive


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"name": "x", "process": {"pid": "y"}, "state": "Running"}']
)
def test_a_damaged_record_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    """Requirement 7.5: the server is then found by its marker."""
    (tmp_path / "etcd.json").write_bytes(content)
    assert records.read(tmp_path / "etcd.json") is None


def test_a_reused_pid_is_not_the_recorded_process(tmp_path: Path) -> None:
    """Requirement 3.3: never a bare pid."""
    me = identity.of_self()
    other = identity.Identity(me.machine, me.boot, me.pid_namespace, me.pid, me.start_ticks - 1)
    assert not Record("etcd", State.RUNNING, other).alive


def test_ports_are_remembered_and_changed_only_on_demand(tmp_path: Path) -> None:
    """Issue A 3: two homes side by side, the same address after a restart."""
    ports = Ports(tmp_path / "ports.json")
    first = ports.get("apiserver")
    assert FIRST <= first <= LAST
    assert is_free(first)
    assert Ports(tmp_path / "ports.json").get("apiserver") == first
    assert ports.renew("apiserver") != first
    assert ports.get("controller-manager") != ports.get("apiserver")


@pytest.mark.parametrize("content", ["", "[]", '{"apiserver": "x"}'])
def test_damaged_ports_cost_new_ports_only(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports.json").write_text(content)
    assert Ports(tmp_path / "ports.json").get("apiserver") >= FIRST


def test_logs_stay_bounded_while_a_server_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 100)
    path = tmp_path / "etcd.log"
    with path.open("ab", buffering=0) as server:
        server.write(b"x" * 200 + b"\n")
        logs.bound(path)
        server.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "etcd.log.1").stat().st_size == 201


def test_last_lines_are_what_a_message_needs() -> None:
    assert logs.last_lines("a\n\nb\nc\n", 2) == "    b\n    c"
    assert logs.last_lines("") == "    (nothing was logged)"


def test_a_marked_process_is_found_by_variable_and_argument(tmp_path: Path) -> None:
    """A server started just before its starter was killed has no record; a job's supervisor is never taken for it."""
    value = str(tmp_path)
    with subprocess.Popen(["sleep", "60"], env={"HOLDFAST_COMPONENT": value}) as process:
        try:
            eventually_sync(lambda: find_marked("HOLDFAST_COMPONENT", value) == [process.pid])
            assert find_marked("HOLDFAST_COMPONENT", value, "60") == [process.pid]
            assert find_marked("HOLDFAST_COMPONENT", value, "controller.cli.main") == []
            assert find_marked("HOLDFAST_COMPONENT", "other") == []
        finally:
            process.kill()
