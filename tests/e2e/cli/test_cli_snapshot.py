"""holdfast snapshot, snapshots, restore, as a user types them (requirement 7.10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.cli.holdfast_command import Holdfast, Jobs, one_line
from tests.e2e.cli.running_controller import RunningController
from tests.eventually import eventually_sync
from tests.running_plane import RunningPlane


@pytest.fixture
def controller(
    plane: RunningPlane, tmp_path: Path, namespace: str, plane_http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningController]:
    """A controller of its own; what the test made is deleted, as others' Snapshots are counted with these."""
    monkeypatch.setenv("HOLDFAST_SNAPSHOT_ALLOW", "*")
    made = RunningController(tmp_path / "home", plane.kubeconfig)
    made.start()
    yield made
    made.stop()
    for plural in ("snapshots", "batchjobs"):
        plane_http.delete(f"/apis/holdfast.dev/v1alpha1/namespaces/{namespace}/{plural}")


def test_take_list_and_restore(
    holdfast: Holdfast, jobs: Jobs, controller: RunningController, plane_http: httpx.Client, tmp_path: Path
) -> None:
    """7.10: the archive's place is printed, the list names it, and what was deleted comes back suspended."""
    holdfast("run", "--name", "nightly", "--", "sleep", "1000")
    holdfast("suspend", "nightly")
    # An archive is of the whole cluster: what is in a namespace that other tests are just deleting cannot come back.
    eventually_sync(lambda: not ending(plane_http), 180.0, "namespaces of other tests are gone")
    location = holdfast("snapshot", "mine", "--to", str(tmp_path / "backup"), "--wait").stdout.strip()
    assert Path(location).parent == tmp_path / "backup" and Path(location).is_file()
    listed = holdfast("snapshots").stdout
    assert "mine" in listed and "Complete" in listed and location in listed
    plane_http.delete(
        f"/apis/holdfast.dev/v1alpha1/namespaces/{holdfast.namespace}/batchjobs/nightly"
    ).raise_for_status()
    assert "nothing was written" in restore(holdfast, location, "--dry-run")
    said = restore(holdfast, location)
    assert f"{holdfast.namespace}/nightly" in said
    assert "holdfast resume --restored --all-namespaces" in said
    assert holdfast("describe", "nightly").stdout


def ending(http: httpx.Client) -> list[str]:
    """Namespaces that are being deleted."""
    found = http.get("/api/v1/namespaces").raise_for_status().json()["items"]
    return [each["metadata"]["name"] for each in found if each["status"]["phase"] == "Terminating"]


def restore(holdfast: Holdfast, *arguments: str, code: int = 0) -> str:
    """It takes no namespace: an archive has its own."""
    from click.testing import CliRunner

    from controller.cli.main import cli

    result = CliRunner().invoke(cli, ["restore", *arguments], env=holdfast.environment)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_errors_are_one_line(holdfast: Holdfast, tmp_path: Path) -> None:
    """7.10: no archive, none of ours, no such file system, nothing to list."""
    one_line(restore(holdfast, str(tmp_path / "absent"), code=1))
    (tmp_path / "text").write_text("hello")
    one_line(restore(holdfast, str(tmp_path / "text"), code=1))
    one_line(restore(holdfast, "nosuch://x/y", code=1))
    assert "make one with" in holdfast("snapshots").stderr
