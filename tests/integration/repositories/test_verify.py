"""Verify: what killed processes and power cuts leave in a mirror, how a corrupt one is made anew (requirement 5.2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.repositories import refs, requests
from controller.repositories.operations.stale import processes_in
from controller.repositories.places import SUSPECT
from controller.repositories.results import Reason
from tests.eventually import eventually_sync
from tests.integration.repositories.homes import Home, failed_as, git, git_environment


def test_verify_of_a_sound_mirror(home: Home) -> None:
    """5.2: locks and half-written packs of killed processes go; then it is as good as new."""
    home.clone()
    left = ["refs/upstream/main.lock", "packed-refs.lock", "objects/pack/tmp_pack_x", "objects/tmp_objdir-incoming-x/y"]
    for name in left:
        path = home.mirror / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("left")
        os.utime(path, (time.time() - 60,) * 2)
    os.utime(home.mirror / "objects/tmp_objdir-incoming-x", (time.time() - 60,) * 2)
    result = home.perform(requests.verify, "main")
    assert result.succeeded and "packed-refs.lock" in result.message, result
    assert not any((home.mirror / name).exists() for name in left)
    home.upstream.commit({"z": "1"})
    home.fetch()


def test_verify_spares_a_living_push(home: Home) -> None:
    """5.2: jobs go on while a new controller verifies: the locks of a live process are not touched."""
    home.clone()
    lock = home.mirror / "refs" / "upstream" / "main.lock"
    lock.write_text("")
    os.utime(lock, (time.time() - 60,) * 2)
    program = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]
    with subprocess.Popen(program, cwd=home.mirror, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout is not None and living.stdout.readline()
        assert home.perform(requests.verify, "main").succeeded
        assert lock.exists()
        living.kill()
    assert home.perform(requests.verify, "main").succeeded
    assert not lock.exists()


def _spoil(home: Home, what: str) -> None:
    """Damage the mirror."""
    pack = next((home.mirror / "objects" / "pack").glob("*.pack"))
    match what:
        case "missing pack":
            pack.unlink()
        case "torn pack":
            pack.chmod(0o600)
            os.truncate(pack, pack.stat().st_size // 2)
        case "no facts":
            (home.mirror / "mirror.json").unlink()
        case "garbage facts":
            (home.mirror / "mirror.json").write_text("{")
        case "no HEAD":
            (home.mirror / "HEAD").unlink()


PUSHES = """
last=$(git rev-parse refs/upstream/main)
while :; do
    last=$(git commit-tree -p "$last" -m job "$last^{tree}") && git update-ref refs/heads/work "$last" || exit 1
done
"""


def _many(home: Home, files: int) -> None:
    """So many at the remote that a look at all objects takes its time."""
    made = "commit refs/heads/many\ncommitter a <a@example.com> 1000000000 +0000\ndata 0\n" + "".join(
        f"M 644 inline {number // 1000}/{number}\ndata {len(str(number))}\n{number}\n" for number in range(files)
    )
    argv = ["git", "fast-import", "--quiet"]
    subprocess.run(argv, cwd=home.upstream.bare, input=made, text=True, timeout=250, check=True)


def test_verify_beside_jobs_that_push(home: Home) -> None:
    """5.2: objects that come after they were listed, and before the refs are read, make no sound mirror corrupt."""
    _many(home, 150_000)
    home.clone()
    home.grant(1)
    env = git_environment(HOLDFAST_LOCK_TOKEN="1")
    with subprocess.Popen(["sh", "-c", PUSHES], cwd=home.mirror, env=env, start_new_session=True) as pushing:
        try:
            found = [home.perform(requests.verify, "main") for _ in range(4)]
            assert pushing.poll() is None
        finally:
            os.killpg(pushing.pid, signal.SIGKILL)  # the shell and its git
    eventually_sync(lambda: not processes_in(home.mirror), what="nothing pushes any more")
    assert {result.reason for result in found} <= {Reason.SUCCEEDED, Reason.BUSY}, found
    assert home.perform(requests.verify, "main").succeeded and home.mirror.exists()


@pytest.mark.parametrize("what", ["missing pack", "torn pack", "no facts", "garbage facts", "no HEAD"])
def test_a_corrupt_mirror_is_made_anew(home: Home, what: str) -> None:
    """5.2: set aside, never used, cloned again; pushes of jobs are brought over where their objects are sound."""
    home.clone()
    home.grant(1)
    workspace = home.workspace()
    pushed = home.job_commit(workspace, "job")
    home.push(workspace, "main:work")
    _spoil(home, what)
    result = home.perform(requests.verify, "main")
    failed_as(result, Reason.CORRUPT, ".corrupt.1")
    assert not home.mirror.exists() and Path(result.set_aside).is_dir()
    failed_as(home.perform(requests.fetch, home.remote, "main"), Reason.NO_MIRROR)
    again = home.clone()
    if what != "no HEAD":
        assert again.rescued == ("work",) and refs.read_head(home.mirror, "work") == pushed
        assert not Path(result.set_aside).exists()
    git(home.mirror, "fsck", "--connectivity-only")
    git(workspace, "status")


def test_a_push_that_cannot_be_saved(home: Home) -> None:
    """5.2: it is named, and what is left of it stays; the rest goes on."""
    home.clone()
    home.grant(1)
    workspace = home.workspace()
    lost = home.job_commit(workspace, "lost", "gone\n")
    home.push(workspace, "main:lost")
    git(workspace, "reset", "-q", "--hard", "HEAD~1")
    home.job_commit(workspace, "kept")
    home.push(workspace, "main:kept")
    blob = git(home.mirror, "rev-parse", f"{lost}:lost").stdout.strip()
    (home.mirror / "objects" / blob[:2] / blob[2:]).unlink()
    result = home.perform(requests.verify, "main")
    failed_as(result, Reason.CORRUPT, blob)
    again = home.clone()
    assert (again.rescued, again.lost) == (("kept",), (".corrupt.1/lost",))
    assert Path(result.set_aside).is_dir()
    assert "lost" not in refs.list_refs(home.mirror, refs.HEADS)


@pytest.mark.parametrize("what", ["no commit", "torn pack", "rotten file"])
def test_a_workspace_that_finds_the_mirror_damaged(home: Home, what: str) -> None:
    """5.2, 5.3: it does not blame the ref; the mirror is suspect until all of it was read, also what nothing but the
    content tells."""
    home.clone()
    pack = next((home.mirror / "objects" / "pack").glob("*.pack"))
    scratch = home.mirror.parent / "scratch"
    pack.rename(scratch)
    pack.with_suffix(".idx").unlink()
    with scratch.open("rb") as packed:  # into objects of their own, which are easier to damage
        subprocess.run(["git", "unpack-objects", "-q"], cwd=home.mirror, stdin=packed, check=True, timeout=60)
    scratch.unlink()
    spec = {"no commit": "main^{commit}", "torn pack": "main^{tree}", "rotten file": "main:README"}[what]
    found = git(home.mirror, "rev-parse", spec.replace("main", "refs/upstream/main")).stdout.strip()
    path = home.mirror / "objects" / found[:2] / found[2:]
    path.chmod(0o600)
    if what == "no commit":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3] + b"rot")
    failed_as(home.perform(requests.workspace, "job-uid.1", "main"), Reason.CORRUPT)
    assert (home.repository / SUSPECT).exists()
    failed_as(home.perform(requests.verify, "main"), Reason.CORRUPT, ".corrupt.1")
    assert not (home.repository / SUSPECT).exists()
    home.clone()
    assert home.perform(requests.workspace, "job-uid.1", "main").succeeded


def test_a_suspicion_that_was_wrong(home: Home) -> None:
    """5.2: a mirror that is whole stays, and is not suspect any more."""
    home.clone()
    (home.repository / SUSPECT).touch()
    assert home.perform(requests.verify, "main").succeeded
    assert not (home.repository / SUSPECT).exists()


def test_ref_files_that_a_power_cut_emptied(home: Home) -> None:
    """5.2: the remote's come back by a fetch; a job's is told."""
    home.clone()
    (home.mirror / "refs" / "upstream" / "main").parent.mkdir(parents=True, exist_ok=True)
    (home.mirror / "refs" / "upstream" / "main").write_bytes(b"")
    assert home.perform(requests.verify, "main").succeeded
    assert home.fetch().commit == home.upstream.head()
    path = home.mirror / "refs" / "heads" / "job"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    failed_as(home.perform(requests.verify, "main"), Reason.CORRUPT, "refs/heads/job")
